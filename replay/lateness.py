"""Ticks that come late on purpose, the same ones in every run: what a watermark is there for.

A tick that is held back keeps its times and is sent behind all that the stream holds of the time until then, as
a slow feed would send it. Which ticks, and for how long, follows from the seed and from a tick's number in the
merged stream alone, so neither chunks nor pace nor a resumption change it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.durations import format_duration, parse_duration
from replay.errors import ConfigError
from topics.ticks import join_records, take_records
from topics.types import RecordArray

MAX_LONGEST_NS: Final = 2**53
_FORM: Final = re.compile(r"\s*([0-9.]+)\s*(%?)\s*:(.+)")
# SplitMix64 (Steele, Lea & Flood 2014): a tick's two numbers without those of the ticks before it.
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Lateness:
    """How many ticks are held back, and for how long.

    Attributes
    ----------
    share
        Of the ticks, in (0, 1].
    longest_ns
        They are held back by 1 ns to this of the replay's clock, evenly spread.
    seed
        Another one holds back other ticks (>= 0).

    Raises
    ------
    ConfigError
        A number out of range.
    """

    share: float
    longest_ns: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(
                f"the share of late ticks (={self.share}) must be above 0 and at most 1, or 100%"
            )
        if not 0 < self.longest_ns <= MAX_LONGEST_NS:
            raise ConfigError(
                f"the longest delay of late ticks (={self.longest_ns} ns) must be in 1..{MAX_LONGEST_NS} ns"
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"the seed of late ticks (={self.seed}) must be >= 0")

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Self:
        """Return what a text like "1%:5s" or "0.01:5s" says.

        Raises
        ------
        ConfigError
            It says nothing of the kind.

        Examples
        --------
        >>> Lateness.parse("2.5%:250ms")
        Lateness(share=0.025, longest_ns=250000000, seed=0)
        """
        matched = _FORM.fullmatch(text)
        try:
            if matched is None:
                raise ValueError("it has no colon")
            share = float(matched[1]) / (100.0 if matched[2] else 1.0)
            longest_ns = parse_duration(matched[3])
        except ValueError as error:
            raise ConfigError(
                f"late ticks (={text!r}) must be a share and the longest delay, like 1%:5s ({error})"
            ) from error
        return cls(share, longest_ns, seed)

    def __str__(self) -> str:
        return f"{self.share:.4g} of the ticks by up to {format_duration(self.longest_ns)}, seed {self.seed}"

    def delays_ns(self, first: int, n: int) -> NDArray[np.uint64]:
        """Return by how much ticks are held back, (n,) ns, 0 for most.

        Parameters
        ----------
        first
            Number of the first of them in the merged stream, from 0.
        """
        start = _mixed(np.array([self.seed], np.uint64))
        numbers = np.arange(first, first + n, dtype=np.uint64) * np.uint64(2)
        chosen = _mixed(start + (numbers + np.uint64(1)) * _STEP)
        delays = _mixed(start + (numbers + np.uint64(2)) * _STEP) % np.uint64(self.longest_ns) + np.uint64(1)
        is_late = (chosen >> np.uint64(11)).astype(np.float64) * 2.0**-53 < self.share
        return np.where(is_late, delays, np.uint64(0))


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


class HeldBack:
    """Holds back ticks of a merged stream. Mutates self.

    Keeps the ticks that are held back in memory, besides one chunk.

    Parameters
    ----------
    clock
        Name of the uint64 field that orders the stream.
    """

    def __init__(self, lateness: Lateness, clock: str) -> None:
        self._lateness = lateness
        self._clock = clock
        self._n_ticks = 0
        self._n_late = 0

    @property
    def n_late(self) -> int:
        """Ticks held back so far."""
        return self._n_late

    def reorder(self, chunks: Iterator[RecordArray]) -> Iterator[RecordArray]:
        """Yield the ticks of a stream in the order in which they come, in chunks that are never empty."""
        waiting: RecordArray | None = None
        until = np.empty(0, np.uint64)
        latest = np.uint64(0)
        for records in chunks:
            # A tick whose time goes back is where it is: behind the one before it.
            reached = np.maximum.accumulate(np.maximum(records[self._clock], latest))
            latest = reached[-1]
            delays = self._lateness.delays_ns(self._n_ticks, len(records))
            self._n_ticks += len(records)
            self._n_late += int(np.count_nonzero(delays))
            joined = records if waiting is None else join_records([waiting, records])
            until = np.concatenate([until, reached + delays])
            # Of equal times the tick that was first in the stream comes first.
            order = np.argsort(until, kind="stable")
            ready = int(np.searchsorted(until[order], latest, side="right"))
            if ready:
                yield take_records(joined, order[:ready])
            waiting, until = take_records(joined, order[ready:]), until[order[ready:]]
        if waiting is not None and len(waiting):
            yield waiting
