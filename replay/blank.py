"""Blank records, written as opaque bytes like `topics.ticks.join_records`."""

from __future__ import annotations

import numpy as np

from topics.ticks import TickSchema, blank_records, opaque_records
from topics.types import RecordArray


def blank(schema: TickSchema, n_records: int) -> RecordArray:
    """Return `topics.ticks.blank_records`, written record by record rather than field by field."""
    one = opaque_records(blank_records(schema, 1))
    records: RecordArray = np.repeat(one, n_records).view(schema.dtype)
    return records
