"""What control records are made of: their base and the fields that several of them share."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from topics.runs import MADE_RELATIONS
from topics.types import HEARTBEAT_INSTRUMENT_ID

InstrumentId = Annotated[int, msgspec.Meta(gt=HEARTBEAT_INSTRUMENT_ID, lt=2**32)]
Identifier = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""An id that is safe in a file name, a topic name and a command line."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
RelationName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, pattern=rf"^(?!({'|'.join(MADE_RELATIONS)})$)")
]
Count = Annotated[int, msgspec.Meta(ge=0)]
Nanos = Annotated[int, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """A record that travels as JSON under its schema's name and version."""

    SCHEMA: ClassVar[str]
    VERSION: ClassVar[int] = 1
