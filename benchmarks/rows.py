"""What a section of `python -m benchmarks` returns: measured numbers, each beside its peers, its limit and its target.

A section is a module or package `benchmarks.<section>` with `rows(options: Options) -> list[Row]`. It measures ours
and the peers' interleaved in one run, so that a busy machine slows both, and gives medians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

Better = Literal["higher", "lower"]
_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a section.

    Attributes
    ----------
    repeats
        Interleaved repetitions to take medians of: 5, fewer with `--quick`.
    quick
        Whether a rough number soon is wanted rather than a good one.
    minutes
        How long a run that shows growth over time goes on; 0 leaves it out.
    data
        Folder of the real data (`CS3G_DATA`); None where there is none.
    peers_python
        Interpreter of the virtual environment that holds the peers; None where it was not set up.
    work
        Folder for files of this run; it exists, and is deleted afterwards.
    """

    repeats: int
    quick: bool
    minutes: float
    data: Path | None
    peers_python: Path | None
    work: Path


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number.

    Attributes
    ----------
    name
        What it is, `<section>: <what>`.
    value, unit
        The median of ours.
    better
        Which way is better.
    target
        What was asked of `value`; None for no target.
    peers
        The peers' values in the same run and unit, by name.
    limit
        What the machine, the format or the arithmetic allows, in the same unit.
    ratios
        Ours against each peer, > 1 where ours is better; see `ratio`.
    ratio_targets
        What was asked of those ratios, by the same names.
    command
        The command that measures it again.
    note
        What else a reader has to know, such as a spread or the machine.
    """

    name: str
    value: float
    unit: str
    better: Better
    target: float | None = None
    peers: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    limit: float | None = None
    ratios: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    ratio_targets: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    command: str = ""
    note: str = ""

    def missed(self) -> dict[str, float | None]:
        """Return the targets that were missed: by name (`value` or a peer's), the factor that is lacking, > 1.

        None stands for a peer that was not there.
        """
        lacking: dict[str, float | None] = {}
        if self.target is not None:
            lacking["value"] = 1.0 / ratio(self.value, self.target, self.better)
        for name, wanted in self.ratio_targets.items():
            lacking[name] = wanted / self.ratios[name] if name in self.ratios else None
        return {name: factor for name, factor in lacking.items() if factor is None or factor > 1.0}


def ratio(ours: float, other: float, better: Better) -> float:
    """Return how many times better `ours` is than `other`."""
    return ours / other if better == "higher" else other / ours


def median(values: list[float]) -> float:
    """Return the median, of one value at least."""
    return float(np.median(np.asarray(values, np.float64)))
