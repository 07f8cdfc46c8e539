"""What a worker costs before it works: memory, start, the first prediction, and a restart."""

from benchmarks.footprint.section import rows

__all__ = ["rows"]
