"""Files to the ticks topic: throughput by format, memory, and how well a paced replay keeps its schedule."""

from benchmarks.replay.section import rows

__all__ = ["rows"]
