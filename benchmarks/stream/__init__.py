"""Catch-up throughput from the ticks topic to the predictions topic, beside peers that only make bars."""

from benchmarks.stream.section import rows

__all__ = ["rows"]
