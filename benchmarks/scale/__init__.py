"""Throughput, CPU and memory over instruments, partitions and workers."""

from benchmarks.scale.section import rows

__all__ = ["rows"]
