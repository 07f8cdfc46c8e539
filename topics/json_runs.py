"""Many one-tick JSON messages at once: as runs of records, to the same bytes as one by one.

Trades are decoded together, prices from their digits; whatever is not a plain trade goes through
`topics.json_ticks`, the one place that knows the rules. What no rule admits is told with its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from topics import tick_builders
from topics.errors import SchemaError
from topics.json_ticks import InstrumentId, Nanos, Side, Size, decode_json_tick
from topics.runs import TickRun
from topics.ticks import join_records
from topics.types import PRICE_SCALE

_MAX_WHOLE_DIGITS: Final = 9  # beyond it the exact decoder decides
_FRACTION_DIGITS: Final = 9


class _PlainTrade(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    schema: Literal["trades"]
    instrument_id: InstrumentId
    ts_event: Nanos
    price: msgspec.Raw
    size: Size
    side: Side = "N"
    ts_recv: Nanos | None = None
    sequence: Size = 0


_PLAIN: Final = msgspec.json.Decoder(list[_PlainTrade])


@dataclass(frozen=True, slots=True)
class JsonRun:
    """Consecutive messages of one schema.

    Attributes
    ----------
    positions
        (n,) place of each record's message among those that were given.
    """

    run: TickRun
    positions: NDArray[np.int64]


def decode_json_ticks(values: Sequence[bytes]) -> tuple[list[JsonRun], list[tuple[int, SchemaError]]]:
    """Decode messages of one tick each.

    Returns
    -------
    Runs in the order of the messages, and (position, error) of those that are no tick.
    """
    runs: list[JsonRun] = []
    refused: list[tuple[int, SchemaError]] = []
    _decode(values, 0, len(values), runs, refused)
    return _joined(runs), refused


def _decode(
    values: Sequence[bytes],
    start: int,
    stop: int,
    runs: list[JsonRun],
    refused: list[tuple[int, SchemaError]],
) -> None:
    # Halves until what is odd stands alone, so that one odd message does not cost the others their speed.
    if start == stop:
        return
    run = _plain_trades(values[start:stop])
    if run is not None:
        runs.append(JsonRun(run, np.arange(start, stop)))
    elif stop - start > 1:
        middle = (start + stop) // 2
        _decode(values, start, middle, runs, refused)
        _decode(values, middle, stop, runs, refused)
    else:
        try:
            runs.append(JsonRun(decode_json_tick(values[start]), np.array([start])))
        except SchemaError as error:
            refused.append((start, error))


def _plain_trades(values: Sequence[bytes]) -> TickRun | None:
    """Return the messages as trades, None where one is anything else."""
    try:
        trades = _PLAIN.decode(b"[" + b",".join(values) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if len(trades) != len(values):  # a value that holds several would pass as list items
        return None
    prices = [_nanos(bytes(trade.price)) for trade in trades]
    if None in prices:
        return None
    ts_event = np.array([trade.ts_event for trade in trades], np.int64)
    ts_recv = [trade.ts_recv for trade in trades]
    return tick_builders.trades(
        instrument_id=np.array([trade.instrument_id for trade in trades], np.int64),
        ts_event=ts_event,
        price=np.array(prices, np.int64),
        size=np.array([trade.size for trade in trades], np.int64),
        side=np.array([trade.side for trade in trades], "S1"),
        ts_recv=np.array(
            [t if r is None else r for t, r in zip(ts_event.tolist(), ts_recv, strict=True)], np.int64
        ),
        sequence=np.array([trade.sequence for trade in trades], np.int64),
    )


def _nanos(text: bytes) -> int | None:
    """Return a price of plain digits in 1e-9, None for any other text: the exact decoder decides on it."""
    whole, point, fraction = text.strip(b'"').partition(b".")
    if not whole.isdigit() or len(whole) > _MAX_WHOLE_DIGITS or len(fraction) > _FRACTION_DIGITS:
        return None
    if point and not fraction.isdigit():
        return None
    return int(whole) * PRICE_SCALE + int(fraction.ljust(_FRACTION_DIGITS, b"0")) or None


def _joined(runs: Sequence[JsonRun]) -> list[JsonRun]:
    joined: list[JsonRun] = []
    start = 0
    for end in range(1, len(runs) + 1):
        if end < len(runs) and runs[end].run.schema == runs[start].run.schema:
            continue
        same = runs[start:end]
        records = join_records([one.run.records for one in same])
        positions = np.concatenate([one.positions for one in same])
        joined.append(JsonRun(TickRun(same[0].run.schema, records), positions))
        start = end
    return joined
