"""What training costs: updates of our models beside a plain Mamba-style model, on one CPU thread."""

from benchmarks.training.section import rows

__all__ = ["rows"]
