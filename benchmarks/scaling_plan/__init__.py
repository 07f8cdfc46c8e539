"""Where a deployment for many ticks a second breaks first: costs measured here, put into a simulation.

`python -m benchmarks.scaling_plan --help`; what came of it is in docs/scaling.md.
"""
