"""Latency from a window's last tick to its prediction, with its hops, beside the bare broker."""

from benchmarks.latency.section import rows

__all__ = ["rows"]
