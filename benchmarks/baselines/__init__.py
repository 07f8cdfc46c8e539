"""What our models are measured against, on any panel: python -m benchmarks.baselines --help."""
