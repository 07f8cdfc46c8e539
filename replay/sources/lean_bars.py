"""LEAN's trade bars, second to daily, as `ohlcv`; times are the starts of the bars.

Daily bars start at 00:00 UTC of their date, as those of every other daily panel do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.blank import blank
from replay.sources.base import Block, Tally
from replay.sources.lean_files import LeanFile, Resolution
from replay.sources.rows import admit, in_order
from topics.ticks import tick_schema
from topics.types import RecordArray

SCHEMA_OF: Final[dict[Resolution, str]] = {
    "second": "ohlcv-1s",
    "minute": "ohlcv-1m",
    "hour": "ohlcv-1h",
    "daily": "ohlcv-1d",
}

_COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")
_NANOS_PER_DECI_CENT: Final = 100_000
_MAX_VOLUME: Final = 2**53


def bars(file: LeanFile, position: int, tally: Tally, chunk_rows: int) -> Iterator[RecordArray]:
    """Yield a file's bars in the schema of its resolution."""
    schema_name = SCHEMA_OF[file.resolution]

    def blocks() -> Iterator[Block]:
        for columns in file.batches(_COLUMNS, _COLUMNS, chunk_rows):
            records = blank(tick_schema(schema_name), columns.batch.num_rows)
            records["instrument_id"] = position
            records["ts_event"] = file.times(columns)
            for name in ("open", "high", "low", "close"):
                deci_cents = columns.numbers(name)
                columns.refuse(
                    name, ~(deci_cents >= 0), deci_cents, "must be a price in deci-cents, 0 or above"
                )
                records[name] = np.rint(deci_cents * _NANOS_PER_DECI_CENT).astype(np.int64)
            records["volume"] = columns.sizes("volume", limit=_MAX_VOLUME)
            yield admit(Block(records, columns.first_row), schema_name, file.label, tally)

    return in_order(blocks(), "ts_event", file.label, chunk_rows)
