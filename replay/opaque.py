"""Move records as opaque bytes: numpy copies structured records field by field, some ten times slower."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topics.ticks import TickSchema, blank_records
from topics.types import RecordArray


def opaque(records: RecordArray) -> RecordArray:
    """Return a view whose items are single byte strings."""
    view: RecordArray = records.view(np.dtype((np.void, records.dtype.itemsize)))
    return view


def take(records: RecordArray, positions: NDArray[np.int64]) -> RecordArray:
    """Return the records at some positions, as a copy."""
    taken: RecordArray = opaque(records)[positions].view(records.dtype)
    return taken


def blank(schema: TickSchema, n_records: int) -> RecordArray:
    """Return `topics.ticks.blank_records`, written record by record rather than field by field."""
    one = opaque(blank_records(schema, 1))
    records: RecordArray = np.repeat(one, n_records).view(schema.dtype)
    return records
