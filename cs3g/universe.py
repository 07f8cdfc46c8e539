"""Who counts in a panel, and a word of warning where hardly anybody does.

An instrument counts in a window once it had prices in so many windows before, without a gap. Where one file mixes
markets that are open on different days, every holiday of one is a gap in the others, and what is left to fit and
to judge may be a handful of names that nobody had in mind.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import typer

from topics.types import BoolArray

__all__ = ["thin_universe", "warn_if_thin"]

_SHARE: Final = 0.75
"""Of the instruments with a price that must count; continuous markets reach .9 and more."""

_QUIET: Final = 0.25
"""A window with fewer than this share of the usual number of instruments is one of another calendar."""


def thin_universe(present: BoolArray, counts: BoolArray, history: int) -> str | None:
    """Return a warning where fewer than three quarters of the instruments with a price count, else None.

    Parameters
    ----------
    present, counts
        (T, N) bool, who has a price in a window, and who is fitted and judged there.
    history
        Windows before, without a gap, that it takes to count.
    """
    here = present[history:].sum(axis=1)
    counted = counts[history:].sum(axis=1)
    if not here.any() or counted.sum() >= _SHARE * here.sum():
        return None
    quiet = int((here < _QUIET * np.median(here)).sum())
    why = (
        f"; {quiet:,} of {len(here):,} windows hold less than a quarter of the usual number, as where markets with"
        " different days are in one file: cut it by market, or drop those windows"
        if quiet
        else ""
    )
    return (
        f"only {counted.mean():.1f} of {here.mean():.1f} instruments with a price count in the average window: to be"
        f" fitted and judged, one takes prices in {history + 1} windows without a gap{why}; --history 1 asks for the"
        " least"
    )


def warn_if_thin(present: BoolArray, counts: BoolArray, history: int) -> str | None:
    """Print `thin_universe`'s warning to stderr, if there is one, and return it; arguments as there."""
    warning = thin_universe(present, counts, history)
    if warning is not None:
        typer.echo(f"cs3g: warning: {warning}", err=True)
    return warning
