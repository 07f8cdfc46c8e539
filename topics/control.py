"""Control records: frozen structs, JSON on the wire, unknown fields ignored.

Each class names its schema and version; `decode_control` finds the class by the envelope's schema.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, TypeAlias, get_args

import msgspec

from topics.control_fields import Control, Count, Identifier, InstrumentId, Name, Nanos, RelationName
from topics.envelope import JSON, MAX_DEAD_LETTER_BYTES, MAX_MESSAGE_BYTES, Envelope
from topics.errors import MessageTooLarge, SchemaError, UnknownVersion
from topics.retraining import (
    JobCancel,
    JobKind,
    JobRequest,
    JobState,
    JobStatus,
    ModelAnnouncement,
    Outcome,
    TriggerDecision,
)
from topics.types import Mode, Role

__all__ = [
    "CONTROL_TYPES",
    "ControlRecord",
    "DeadLetter",
    "EndOfReplay",
    "Instrument",
    "JobCancel",
    "JobKind",
    "JobRequest",
    "JobState",
    "JobStatus",
    "LatestPrediction",
    "ModelAnnouncement",
    "Outcome",
    "Related",
    "TriggerDecision",
    "control_envelope",
    "decode_control",
    "encode_control",
]


class Related(msgspec.Struct, frozen=True):
    """One edge that leads to the announced instrument.

    Attributes
    ----------
    relation
        Name of the edge relation; those that the graph stage makes itself cannot be announced.
    instrument_id
        Where the edge comes from.
    weight
        Strength, with a sign.
    """

    relation: RelationName
    instrument_id: InstrumentId
    weight: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 1.0


class Instrument(Control, frozen=True, kw_only=True):
    """What an instrument id means, announced before any of its ticks.

    Attributes
    ----------
    related
        Edges that lead to it, of relations that do not change while ticks flow.
    size_unit
        How much one unit of a record's integer size is, as a decimal text: "1" for shares, "0.00000001" for a
        venue that trades fractions.
    """

    SCHEMA: ClassVar[str] = "instrument"

    instrument_id: InstrumentId
    symbol: Name
    universe: Name
    venue: str = ""
    sector: str | None = None
    related: tuple[Related, ...] = ()
    size_unit: Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]*)(\.[0-9]{1,18})?$")] = "1"


class EndOfReplay(Control, frozen=True, kw_only=True):
    """The last message of a tick partition: closes every window up to the one that holds `ts_last`.

    Attributes
    ----------
    ts_last
        ns, the latest `ts_event` of the whole replay, of every partition.
    ticks
        Ticks sent to this partition, heartbeats not counted.
    total_ticks
        Ticks sent to all partitions.
    digest
        `sha256:<hex>` of everything emitted, in order (`topics.digest.TickDigest`).
    """

    SCHEMA: ClassVar[str] = "end-of-replay"

    ts_last: Nanos
    ticks: Count
    total_ticks: Count
    digest: str


class DeadLetter(Control, frozen=True, kw_only=True):
    """Records that no stage could use, with where they came from and why.

    Attributes
    ----------
    cause
        A short name: "late", "undecodable", or a name of `topics.validity.CAUSES`.
    n_records
        Ticks in the payload; the accounting of a replay is by this number.
    detail
        One line for a person.
    payload
        The original bytes (base64 in JSON): the whole message if undecodable, else the refused records.
    schema
        Schema of the payload, "" where unknown.
    """

    SCHEMA: ClassVar[str] = "dead-letter"

    cause: Name
    source_topic: Name
    partition: Count
    offset: Count
    n_records: Count
    detail: str = ""
    payload: bytes = b""
    schema: str = ""


class LatestPrediction(Control, frozen=True, kw_only=True):
    """One instrument's newest prediction, for a strategy that restarts.

    Attributes
    ----------
    rank
        1 is the highest score among the window's `n_instruments`.
    warmup
        The model has seen fewer windows than it needs: do not trade.
    """

    SCHEMA: ClassVar[str] = "latest-prediction"

    universe: Name
    role: Role
    model_id: Identifier
    instrument_id: InstrumentId
    symbol: Name
    ts_close: int
    score: float
    rank: Annotated[int, msgspec.Meta(ge=1)]
    n_instruments: Annotated[int, msgspec.Meta(ge=1)]
    warmup: bool

    def key(self) -> bytes:
        """Return the Kafka key: the latest of a universe, role and instrument survives compaction."""
        return f"{self.universe}/{self.role}/{self.instrument_id}".encode()


ControlRecord: TypeAlias = (
    Instrument
    | EndOfReplay
    | DeadLetter
    | JobRequest
    | JobCancel
    | JobStatus
    | ModelAnnouncement
    | LatestPrediction
    | Outcome
    | TriggerDecision
)

CONTROL_TYPES: Final[dict[str, type[ControlRecord]]] = {kind.SCHEMA: kind for kind in get_args(ControlRecord)}
"""The record types by their schema's name."""

_ENCODER: Final = msgspec.json.Encoder()
_DECODERS: Final = {name: msgspec.json.Decoder(kind) for name, kind in CONTROL_TYPES.items()}


def encode_control(record: ControlRecord) -> bytes:
    """Return a control record as JSON.

    Raises
    ------
    SchemaError
        A field breaks its constraint; constructors do not check, this does.
    MessageTooLarge
        The record does not fit a message.
    """
    value = _ENCODER.encode(record)
    _decode(record.SCHEMA, value)
    return value


def decode_control(value: bytes | None, envelope: Envelope) -> ControlRecord:
    """Return the control record that a message carries.

    Raises
    ------
    UnknownVersion
        Schema or version unknown.
    SchemaError
        The bytes break the schema; `field_path` names the field.
    MessageTooLarge
        The value is beyond `MAX_MESSAGE_BYTES`.
    """
    kind = CONTROL_TYPES.get(envelope.schema)
    if kind is None:
        raise UnknownVersion(
            f"control schema {envelope.schema!r} is unknown; known are {', '.join(CONTROL_TYPES)}",
            field_path="schema",
        )
    envelope.require(kind.SCHEMA, kind.VERSION, JSON)
    if not value:
        raise SchemaError(f"the value is empty; a {envelope.schema!r} record was expected")
    return _decode(envelope.schema, value)


def control_envelope(record: ControlRecord, *, run_id: str, mode: Mode) -> Envelope:
    """Return the envelope of a control record."""
    return Envelope(
        schema=record.SCHEMA, version=record.VERSION, content_type=JSON, run_id=run_id, mode=mode, count=1
    )


def _decode(schema: str, value: bytes) -> ControlRecord:
    limit = MAX_DEAD_LETTER_BYTES if schema == DeadLetter.SCHEMA else MAX_MESSAGE_BYTES
    if len(value) > limit:
        raise MessageTooLarge(f"the value has {len(value)} bytes, a {schema!r} message holds {limit}")
    try:
        return _DECODERS[schema].decode(value)
    except msgspec.ValidationError as error:
        path = str(error).partition(" - at `")[2].rstrip("`")
        raise SchemaError(f"{schema}: {error}", field_path=path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"{schema}: {error}") from error
