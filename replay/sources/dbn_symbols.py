"""Which symbol a record of a DBN file is of, from the mappings in the file's metadata.

A mapping holds for an interval of UTC dates: an id may be reused, and a continuous symbol moves between ids.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.errors import SchemaMismatch
from replay.sources.base import Selection, by_position
from topics.types import NANOS_PER_DAY, UInt32Array

_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class MappedInterval:
    """A DBN instrument id means a symbol in the half-open interval [start_ns, end_ns)."""

    instrument_id: int
    start_ns: int
    end_ns: int
    symbol: str


def mapped_intervals(metadata: Any, file: object) -> list[MappedInterval]:
    """Return the intervals of a file's metadata, none where the file does not map its ids.

    Raises
    ------
    SchemaMismatch
        A symbol stands for two instruments at one time, as parents and groups do.
    """
    ids_are_keys = str(metadata.stype_in) == "instrument_id"
    if not ids_are_keys and str(metadata.stype_out) != "instrument_id":
        return []
    found = []
    for key, intervals in metadata.mappings.items():
        for interval in intervals:
            number, symbol = (key, interval["symbol"]) if ids_are_keys else (interval["symbol"], key)
            if number and symbol:  # an unresolved interval maps to ""
                start, end = _date_ns(interval["start_date"]), _date_ns(interval["end_date"])
                found.append(MappedInterval(int(number), start, end, symbol))
    found.sort(key=lambda one: (one.symbol, one.start_ns))
    for one, following in pairwise(found):
        if one.symbol == following.symbol and following.start_ns < one.end_ns:
            raise SchemaMismatch(
                f"{file}: symbol {one.symbol!r} stands for the instruments {one.instrument_id} and"
                f" {following.instrument_id} at once; request the data by raw symbol"
            )
    return found


def unmapped(instrument_ids: Iterable[int]) -> list[MappedInterval]:
    """Return intervals that name each id by its own digits, for files without mappings."""
    return [MappedInterval(number, 0, 2**63 - 1, str(number)) for number in sorted(set(instrument_ids))]


class SymbolTable:
    """Positions of a file's instruments in the list of the selected symbols.

    Attributes
    ----------
    symbols
        Selected symbols, sorted; positions count from 1.
    """

    def __init__(self, intervals: list[MappedInterval], selection: Selection) -> None:
        self.symbols = tuple(sorted({one.symbol for one in intervals if selection.wants(one.symbol)}))
        positions = by_position(self.symbols)
        self._ids: NDArray[np.uint32] = np.unique(
            np.array([one.instrument_id for one in intervals], dtype=np.uint32)
        )
        self._fixed = np.zeros(len(self._ids), dtype=np.uint32)
        self._dated: list[tuple[int, int, int, int]] = []
        self._has_dates = np.zeros(len(self._ids), dtype=np.bool_)
        names: dict[int, set[str]] = {}
        for one in intervals:
            names.setdefault(one.instrument_id, set()).add(one.symbol)
        for one in intervals:
            slot = int(np.searchsorted(self._ids, one.instrument_id))
            position = positions.get(one.symbol, 0)
            if len(names[one.instrument_id]) == 1:
                self._fixed[slot] = position
            else:
                self._has_dates[slot] = True
                self._dated.append((one.instrument_id, one.start_ns, one.end_ns, position))

    def positions(
        self, instrument_ids: UInt32Array, ts_ns: NDArray[np.uint64]
    ) -> tuple[UInt32Array, NDArray[np.bool_]]:
        """Return each record's position, 0 for symbols left out, and which ids the file does not map.

        Parameters
        ----------
        instrument_ids
            (n,) as in the file.
        ts_ns
            (n,) the time that mappings go by.
        """
        if not len(self._ids):
            return np.zeros(len(instrument_ids), np.uint32), np.ones(len(instrument_ids), np.bool_)
        slots = np.minimum(np.searchsorted(self._ids, instrument_ids), len(self._ids) - 1)
        unknown = self._ids[slots] != instrument_ids
        found = self._fixed[slots]
        if self._dated:
            unknown |= self._has_dates[slots]
            for number, start_ns, end_ns, position in self._dated:
                here = (instrument_ids == number) & (ts_ns >= start_ns) & (ts_ns < end_ns)
                found[here] = position
                unknown[here] = False
        return found, unknown


def _date_ns(date: dt.date) -> int:
    return (date - _EPOCH).days * NANOS_PER_DAY
