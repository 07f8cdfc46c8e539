"""The headers of every message, and a message as a value before it meets a Kafka client.

Unknown headers are ignored; a missing or malformed one is an `EnvelopeError`. A simple producer of one-tick
JSON needs only `content-type: application/json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from topics.errors import EnvelopeError, UnknownVersion
from topics.types import Mode

ContentType = Literal[
    "application/vnd.databento.dbn", "application/json", "application/vnd.apache.arrow.stream"
]

DBN: Final = "application/vnd.databento.dbn"
JSON: Final = "application/json"
ARROW: Final = "application/vnd.apache.arrow.stream"

UNKNOWN_COUNT: Final = -1
"""`seq` and `count` of a producer that does not number its messages."""

ONE_TICK_JSON: Final = "tick"
"""Schema of a JSON message without a `schema` header: a tick whose body names its own schema."""

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""No topic carries larger messages, and no decoder looks at them."""

MAX_DEAD_LETTER_BYTES: Final = 12 * 1024 * 1024
"""The exception: a dead letter holds up to the largest message in base64, four bytes for three."""

_MAX_HEADER_BYTES: Final = 256
_MAX_DIGITS: Final = 18
_CONTENT_TYPES: Final = get_args(ContentType)
_MODES: Final = get_args(Mode)

Headers = Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers of one message say.

    Attributes
    ----------
    schema
        Name of the value's schema, e.g. "trades", "windows", "end-of-replay".
    version
        Version of that schema.
    run_id
        The replay or the live session that produced it; "" where a producer has none.
    seq
        Ticks: records sent to this partition before this message, heartbeats included.
        Graphs and predictions: index of the first window. `UNKNOWN_COUNT` where not numbered.
    count
        Ticks: records in the message. Graphs and predictions: windows.
    """

    schema: str
    version: int
    content_type: ContentType
    run_id: str = ""
    mode: Mode = "live"
    seq: int = UNKNOWN_COUNT
    count: int = UNKNOWN_COUNT

    def to_headers(self) -> list[tuple[str, bytes]]:
        """Return the Kafka headers, in the form that aiokafka and Faust take."""
        return [
            ("schema", self.schema.encode()),
            ("schema-version", b"%d" % self.version),
            ("content-type", self.content_type.encode()),
            ("run-id", self.run_id.encode()),
            ("mode", self.mode.encode()),
            ("seq", b"%d" % self.seq),
            ("count", b"%d" % self.count),
        ]

    @classmethod
    def from_headers(cls, headers: Headers) -> Envelope:
        """Read an envelope from Kafka headers.

        Parameters
        ----------
        headers
            A mapping, or pairs of which the last of a name wins, as aiokafka and Faust hand them over.

        Raises
        ------
        EnvelopeError
            A required header is missing, or one is malformed.
        """
        found = dict(headers or ())
        content_type = _text(found, "content-type")
        if content_type not in _CONTENT_TYPES:
            allowed = ", ".join(_CONTENT_TYPES)
            raise EnvelopeError(
                f"header `content-type` (={content_type!r}) must be one of {allowed}",
                field_path="content-type",
            )
        is_json = content_type == JSON
        mode = _text(found, "mode", default="live")
        if mode not in _MODES:
            raise EnvelopeError(f"header `mode` (={mode!r}) must be 'live' or 'replay'", field_path="mode")
        return cls(
            schema=_text(found, "schema", default=ONE_TICK_JSON if is_json else None),
            version=_integer(found, "schema-version", default=1 if is_json else None),
            content_type=content_type,  # type: ignore[arg-type]  # membership was checked above
            run_id=_text(found, "run-id", default=""),
            mode=mode,  # type: ignore[arg-type]  # membership was checked above
            seq=_integer(found, "seq", default=UNKNOWN_COUNT),
            count=_integer(found, "count", default=UNKNOWN_COUNT),
        )

    def require(self, schema: str, version: int | tuple[int, ...], content_type: ContentType) -> None:
        """Refuse a message of another schema, version (or none of several) or content type.

        Raises
        ------
        UnknownVersion
            The schema or its version is not the one a decoder reads.
        EnvelopeError
            The content type is another.
        """
        if self.schema != schema:
            raise UnknownVersion(
                f"header `schema` (={self.schema!r}) must be {schema!r} on this topic", field_path="schema"
            )
        versions = version if isinstance(version, tuple) else (version,)
        if self.version not in versions:
            known = " and ".join(map(str, versions))
            raise UnknownVersion(
                f"schema {schema!r} version {self.version} is unknown; this release reads version {known}:"
                " upgrade cs3g, or point the producer at a topic of its own version",
                field_path="schema-version",
            )
        if self.content_type != content_type:
            raise EnvelopeError(
                f"header `content-type` (={self.content_type!r}) must be {content_type!r}"
                f" for schema {schema!r}",
                field_path="content-type",
            )


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka message, before a producer takes it.

    Attributes
    ----------
    timestamp_ms
        Event time, ms since the UNIX epoch: of the latest tick, or the latest window's end.
    partition
        Fixed partition, or None for the partitioner's choice by key.
    """

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int | None = None
    partition: int | None = None


def _text(found: Mapping[str, bytes], name: str, *, default: str | None = None) -> str:
    raw = found.get(name)
    if raw is None:
        if default is None:
            raise EnvelopeError(f"header `{name}` is missing", field_path=name)
        return default
    if len(raw) > _MAX_HEADER_BYTES:
        raise EnvelopeError(
            f"header `{name}` has {len(raw)} bytes, allowed are {_MAX_HEADER_BYTES}", field_path=name
        )
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise EnvelopeError(f"header `{name}` (={raw!r}) must be UTF-8", field_path=name) from error


def _integer(found: Mapping[str, bytes], name: str, *, default: int | None = None) -> int:
    raw = found.get(name)
    if isinstance(raw, bytes) and raw.isdigit() and len(raw) <= _MAX_DIGITS:
        return int(raw)  # as nearly all are, and every message has three
    text = _text(found, name, default=None if default is None else str(default))
    digits = text.removeprefix("-")
    # int() alone would take "1_000", " 1 " and digits of other scripts.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        raise EnvelopeError(f"header `{name}` (={text!r}) must be an integer", field_path=name)
    number = int(text)
    if number < UNKNOWN_COUNT:
        raise EnvelopeError(f"header `{name}` (={number}) must be >= {UNKNOWN_COUNT}", field_path=name)
    return number
