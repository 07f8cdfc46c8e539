"""One tick as JSON, for producers that have no DBN encoder.

`{"schema": "trades", "instrument_id": 7, "ts_event": 1700000000000000000, "price": "101.25", "size": 100}`

Prices are decimal strings or numbers in currency, read exactly; finer than 1e-9 is refused, as is any
unknown field.
"""

from __future__ import annotations

from decimal import Decimal, DecimalException
from typing import Annotated, Any, Final, Literal

import msgspec

from topics import tick_builders
from topics.errors import SchemaError, UnknownVersion
from topics.runs import TickRun
from topics.ticks import SCHEMAS
from topics.types import HEARTBEAT_INSTRUMENT_ID, PRICE_SCALE, UNDEF_PRICE

InstrumentId = Annotated[int, msgspec.Meta(gt=HEARTBEAT_INSTRUMENT_ID, lt=2**32)]
Nanos = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Size = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Volume = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Side = Literal["A", "B", "N"]


class _Named(msgspec.Struct, frozen=True):
    schema: str


class TradeTick(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A trade; `side` is the aggressor: B bought, A sold, N unknown."""

    schema: Literal["trades"]
    instrument_id: InstrumentId
    ts_event: Nanos
    price: Decimal
    size: Size
    side: Side = "N"
    ts_recv: Nanos | None = None
    sequence: Size = 0


class QuoteTick(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A best bid and ask, a missing side left out; action T is a trade of `price` and `size`."""

    schema: Literal["mbp-1", "tbbo", "bbo-1s", "bbo-1m"]
    instrument_id: InstrumentId
    ts_event: Nanos
    bid_price: Decimal | None = None
    ask_price: Decimal | None = None
    bid_size: Size = 0
    ask_size: Size = 0
    action: Literal["A", "C", "M", "T"] = "M"
    price: Decimal | None = None
    size: Size = 0
    side: Side = "N"
    ts_recv: Nanos | None = None
    sequence: Size = 0


class BarTick(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bar; `ts_event` is its START."""

    schema: Literal["ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d"]
    instrument_id: InstrumentId
    ts_event: Nanos
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Volume = 0


JSON_TICK_TYPES: Final = (TradeTick, QuoteTick, BarTick)
"""The bodies that a one-tick message may have; `schema` tells them apart."""

_NAMED: Final = msgspec.json.Decoder(_Named)
_TRADE: Final = msgspec.json.Decoder(TradeTick)
_QUOTE: Final = msgspec.json.Decoder(QuoteTick)
_BAR: Final = msgspec.json.Decoder(BarTick)


def decode_json_tick(value: bytes) -> TickRun:
    """Return the run of the one tick that a JSON message carries.

    Raises
    ------
    UnknownVersion
        The body names a schema that no tick topic carries.
    SchemaError
        The body breaks its schema; `field_path` names the field.
    """
    name = _decode(_NAMED, value).schema
    if name not in SCHEMAS:
        raise UnknownVersion(
            f"tick schema {name!r} is unknown; known are {', '.join(SCHEMAS)}", field_path="$.schema"
        )
    if name == "trades":
        return _trade(_decode(_TRADE, value))
    if SCHEMAS[name].is_bar:
        return _bar(_decode(_BAR, value))
    return _quote(_decode(_QUOTE, value))


def encode_json_tick(run: TickRun) -> bytes:
    """Return the one tick of a run as JSON; the inverse of `decode_json_tick` on the fields that JSON has.

    Raises
    ------
    SchemaError
        The run does not hold exactly one tick.
    """
    if len(run.records) != 1:
        raise SchemaError(f"`run` must hold one tick, held {len(run.records)}")
    row = run.records[0]
    is_bar = SCHEMAS[run.schema].is_bar
    body: dict[str, Any] = {"schema": run.schema}
    for name in ("instrument_id", "ts_event"):
        body[name] = int(row[name])
    names = run.records.dtype.names or ()
    for field, name in _PRICE_FIELDS.items():
        if field in names and int(row[field]) != UNDEF_PRICE:
            body[name] = price_text(int(row[field]))
    if is_bar:
        body["volume"] = int(row["volume"])
    else:
        for field, name in _SIZE_FIELDS.items():
            if field in names:
                body[name] = int(row[field])
        body["side"] = row["side"].decode()
        if "action" in names and run.schema != "trades":
            body["action"] = row["action"].decode()
    return msgspec.json.encode(body)


_PRICE_FIELDS: Final = {
    "price": "price",
    "bid_px_00": "bid_price",
    "ask_px_00": "ask_price",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
}
_SIZE_FIELDS: Final = {
    "size": "size",
    "bid_sz_00": "bid_size",
    "ask_sz_00": "ask_size",
    "ts_recv": "ts_recv",
    "sequence": "sequence",
}


def price_nanos(price: Decimal, path: str) -> int:
    """Return a price as an integer of 1e-9, exactly.

    Parameters
    ----------
    price
        In currency.
    path
        Where it stands, for the error.

    Raises
    ------
    SchemaError
        Not finite, not positive, finer than 1e-9 or too large.

    Examples
    --------
    >>> price_nanos(Decimal("101.25"), "$.price")
    101250000000
    """
    if not price.is_finite() or price <= 0:
        raise SchemaError(f"`{path}` (={price}) must be a finite price > 0", field_path=path)
    if price >= UNDEF_PRICE // PRICE_SCALE:
        raise SchemaError(f"`{path}` (={price:.6g}) must be < {UNDEF_PRICE // PRICE_SCALE}", field_path=path)
    try:
        nanos = price.scaleb(9)
        whole = nanos == nanos.to_integral_value()
    except DecimalException:
        whole = False
    if not whole or len(price.as_tuple().digits) > 28:
        raise SchemaError(f"`{path}` (={price}) must not be finer than 1e-9", field_path=path)
    return int(nanos)


def price_text(nanos: int) -> str:
    """Return a price of 1e-9 as the shortest exact decimal text.

    Examples
    --------
    >>> price_text(101250000000)
    '101.25'
    """
    whole, fraction = divmod(nanos, PRICE_SCALE)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")


def _trade(tick: TradeTick) -> TickRun:
    return tick_builders.trades(
        instrument_id=tick.instrument_id,
        ts_event=tick.ts_event,
        price=price_nanos(tick.price, "$.price"),
        size=tick.size,
        side=tick.side.encode(),
        ts_recv=tick.ts_recv,
        sequence=tick.sequence,
    )


def _quote(tick: QuoteTick) -> TickRun:
    return tick_builders.quotes(
        instrument_id=tick.instrument_id,
        ts_event=tick.ts_event,
        bid_price=_optional_price(tick.bid_price, "$.bid_price"),
        ask_price=_optional_price(tick.ask_price, "$.ask_price"),
        bid_size=tick.bid_size,
        ask_size=tick.ask_size,
        price=_optional_price(tick.price, "$.price"),
        size=tick.size,
        action=tick.action.encode(),
        side=tick.side.encode(),
        ts_recv=tick.ts_recv,
        sequence=tick.sequence,
        schema=tick.schema,
    )


def _bar(tick: BarTick) -> TickRun:
    return tick_builders.bars(
        instrument_id=tick.instrument_id,
        ts_event=tick.ts_event,
        open=price_nanos(tick.open, "$.open"),
        high=price_nanos(tick.high, "$.high"),
        low=price_nanos(tick.low, "$.low"),
        close=price_nanos(tick.close, "$.close"),
        volume=tick.volume,
        schema=tick.schema,
    )


def _optional_price(price: Decimal | None, path: str) -> int:
    return UNDEF_PRICE if price is None else price_nanos(price, path)


def _decode(decoder: msgspec.json.Decoder[Any], value: bytes) -> Any:
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        path = str(error).partition(" - at `")[2].rstrip("`")
        raise SchemaError(f"one-tick JSON: {error}", field_path=path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"one-tick JSON: {error}") from error
