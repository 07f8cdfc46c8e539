"""Ticks on the wire: runs of DBN records of one schema, both ways by numpy without a loop over ticks.

The layouts are Databento's own (`databento_dbn`); a contract test holds them equal byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from topics.envelope import DBN, JSON, MAX_MESSAGE_BYTES, ONE_TICK_JSON, Envelope
from topics.errors import EnvelopeError, MessageTooLarge, SchemaError, UnknownVersion
from topics.runs import TickRun
from topics.types import HEARTBEAT_INSTRUMENT_ID, UNDEF_PRICE, BoolArray, Int64Array, RecordArray

TICKS_VERSION: Final = 1

_HEADER = [
    ("length", "u1"),  # record size in units of 4 bytes
    ("rtype", "u1"),
    ("publisher_id", "<u2"),
    ("instrument_id", "<u4"),
    ("ts_event", "<u8"),
]
_LEVEL = [
    ("bid_px_00", "<i8"),
    ("ask_px_00", "<i8"),
    ("bid_sz_00", "<u4"),
    ("ask_sz_00", "<u4"),
    ("bid_ct_00", "<u4"),
    ("ask_ct_00", "<u4"),
]

TRADES_DTYPE: Final = np.dtype(
    [
        *_HEADER,
        ("price", "<i8"),
        ("size", "<u4"),
        ("action", "S1"),
        ("side", "S1"),  # aggressor: b"B" bought, b"A" sold, b"N" unknown
        ("flags", "u1"),
        ("depth", "u1"),
        ("ts_recv", "<u8"),
        ("ts_in_delta", "<i4"),
        ("sequence", "<u4"),
    ]
)
MBP1_DTYPE: Final = np.dtype([*TRADES_DTYPE.descr, *_LEVEL])
BBO_DTYPE: Final = np.dtype(
    [
        # On our topics ts_event is the quote's time, ts_recv; Databento's is the last trade's or undefined.
        *_HEADER,
        ("price", "<i8"),  # of the last trade
        ("size", "<u4"),
        ("_reserved1", "u1"),
        ("side", "S1"),
        ("flags", "u1"),
        ("_reserved2", "u1"),
        ("ts_recv", "<u8"),
        ("_reserved3", "S4"),
        ("sequence", "<u4"),
        *_LEVEL,
    ]
)
OHLCV_DTYPE: Final = np.dtype(
    [
        *_HEADER,  # ts_event is the START of the bar
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<u8"),
    ]
)


@dataclass(frozen=True, slots=True)
class TickSchema:
    """One DBN schema: its record layout and the record type that its headers carry."""

    name: str
    dtype: np.dtype[np.void]
    rtype: int

    @property
    def length(self) -> int:
        """Record size in units of 4 bytes, as every record's first byte says."""
        return self.dtype.itemsize // 4

    @property
    def is_bar(self) -> bool:
        """Whether a record is a bar rather than a trade or quote."""
        return self.dtype is OHLCV_DTYPE


SCHEMAS: Final = {
    schema.name: schema
    for schema in (
        TickSchema("trades", TRADES_DTYPE, 0x00),
        TickSchema("mbp-1", MBP1_DTYPE, 0x01),
        TickSchema("tbbo", MBP1_DTYPE, 0x01),
        TickSchema("bbo-1s", BBO_DTYPE, 0xC3),
        TickSchema("bbo-1m", BBO_DTYPE, 0xC4),
        TickSchema("ohlcv-1s", OHLCV_DTYPE, 0x20),
        TickSchema("ohlcv-1m", OHLCV_DTYPE, 0x21),
        TickSchema("ohlcv-1h", OHLCV_DTYPE, 0x22),
        TickSchema("ohlcv-1d", OHLCV_DTYPE, 0x23),
    )
}
"""The DBN schemas that a tick topic carries, by name."""


def tick_schema(name: str) -> TickSchema:
    """Return the schema of a name.

    Raises
    ------
    UnknownVersion
        No tick topic carries such a schema.
    """
    try:
        return SCHEMAS[name]
    except KeyError:
        raise UnknownVersion(
            f"tick schema {name!r} is unknown; known are {', '.join(SCHEMAS)}", field_path="schema"
        ) from None


def encode_ticks(run: TickRun) -> bytes:
    """Return the DBN records of a run as one message value.

    Raises
    ------
    SchemaError
        The records do not have the schema's dtype, or there are none.
    MessageTooLarge
        The run is beyond `MAX_MESSAGE_BYTES`: cut it.
    """
    schema = tick_schema(run.schema)
    records = run.records
    if records.dtype != schema.dtype or records.ndim != 1:
        raise SchemaError(f"`records` must be one-dimensional with the dtype of schema {run.schema!r}")
    if not len(records):
        raise SchemaError("`records` is empty; a tick message carries at least one record")
    if records.nbytes > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(
            f"{len(records)} records make {records.nbytes} bytes, a message holds {MAX_MESSAGE_BYTES}:"
            " cut the run"
        )
    _check_headers(records, schema)
    return records.tobytes()


def decode_ticks(value: bytes | None, envelope: Envelope) -> TickRun:
    """Return the run of ticks that a message carries; JSON of one tick is taken too.

    The records are a writable copy: compiled kernels are specialized on writability, and one memcpy
    is cheaper than a second specialization.

    Raises
    ------
    UnknownVersion
        Schema or version unknown.
    EnvelopeError
        A content type that ticks do not have, or a `count` that the value contradicts.
    SchemaError
        The bytes are not whole records of the schema.
    MessageTooLarge
        The value is beyond `MAX_MESSAGE_BYTES`.
    """
    if not value:
        raise SchemaError("the value is empty; a tick message carries at least one record")
    if len(value) > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(f"the value has {len(value)} bytes, a message holds {MAX_MESSAGE_BYTES}")
    if envelope.version != TICKS_VERSION:
        raise UnknownVersion(
            f"tick schema {envelope.schema!r} version {envelope.version} is unknown;"
            f" this release reads version {TICKS_VERSION}",
            field_path="schema-version",
        )
    if envelope.content_type == JSON:
        # Imported here: the JSON path is the rare one and itself needs the dtypes above.
        from topics.json_ticks import decode_json_tick

        run = decode_json_tick(value)
        if envelope.schema not in (ONE_TICK_JSON, run.schema):
            raise EnvelopeError(
                f"header `schema` (={envelope.schema!r}) contradicts the body's {run.schema!r}",
                field_path="schema",
            )
        return run
    if envelope.content_type != DBN:
        raise EnvelopeError(
            f"header `content-type` (={envelope.content_type!r}) must be {DBN!r} or {JSON!r} for ticks",
            field_path="content-type",
        )
    schema = tick_schema(envelope.schema)
    n_records, rest = divmod(len(value), schema.dtype.itemsize)
    if rest:
        raise SchemaError(
            f"the value has {len(value)} bytes, which is no multiple of the {schema.dtype.itemsize}"
            f" of a {schema.name!r} record"
        )
    if envelope.count not in (-1, n_records):
        raise EnvelopeError(
            f"header `count` (={envelope.count}) contradicts the {n_records} records of the value",
            field_path="count",
        )
    records: RecordArray = np.frombuffer(bytearray(value), dtype=schema.dtype)
    _check_headers(records, schema)
    return TickRun(schema.name, records)


def join_records(parts: Sequence[RecordArray]) -> RecordArray:
    """Return several runs of records of one dtype as one; a single one as it is.

    As opaque bytes: numpy copies structured records field by field, some ten times slower.
    """
    if len(parts) == 1:
        return parts[0]
    joined: RecordArray = np.concatenate([opaque_records(part) for part in parts]).view(parts[0].dtype)
    return joined


def take_records(records: RecordArray, positions: Int64Array) -> RecordArray:
    """Return the records at some positions, as opaque bytes like `join_records`."""
    taken: RecordArray = opaque_records(records)[positions].view(records.dtype)
    return taken


def opaque_records(records: RecordArray) -> RecordArray:
    """Return a view whose items are single byte strings."""
    return records.view(np.dtype((np.void, records.dtype.itemsize)))


def heartbeat(schema_name: str, ts_ns: int) -> TickRun:
    """Return one record that moves its partition's watermark to `ts_ns` and is nothing else."""
    schema = tick_schema(schema_name)
    records = blank_records(schema, 1)
    records["instrument_id"] = HEARTBEAT_INSTRUMENT_ID
    records["ts_event"] = ts_ns
    return TickRun(schema.name, records)


def is_heartbeat(records: RecordArray) -> BoolArray:
    """Return which records are heartbeats."""
    mask: BoolArray = records["instrument_id"] == HEARTBEAT_INSTRUMENT_ID
    return mask


def blank_records(schema: TickSchema, n_records: int) -> RecordArray:
    """Return records with valid headers, undefined prices and everything else zero."""
    records: RecordArray = np.zeros(n_records, dtype=schema.dtype)
    records["length"] = schema.length
    records["rtype"] = schema.rtype
    names = schema.dtype.names or ()
    for name in ("price", "bid_px_00", "ask_px_00", "open", "high", "low", "close"):
        if name in names:
            records[name] = UNDEF_PRICE
    for name in ("action", "side"):
        if name in names:
            records[name] = b"N"
    return records


def _check_headers(records: RecordArray, schema: TickSchema) -> None:
    for name, expected in (("length", schema.length), ("rtype", schema.rtype)):
        wrong = records[name] != expected
        if wrong.any():
            row = int(wrong.argmax())
            raise SchemaError(
                f"record {row}: `{name}` (={int(records[name][row])}) must be {expected}"
                f" for schema {schema.name!r}",
                field_path=f"$[{row}].{name}",
            )
