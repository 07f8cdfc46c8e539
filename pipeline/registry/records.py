"""What a registry writes down beside the artifacts: lineages and activations, as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar, get_args

import msgspec

from pipeline.registry.errors import RegistryError, RegistryTamperedError
from topics.control_fields import Count, Identifier, Nanos, Sha256
from topics.types import Role

Detail = Annotated[str, msgspec.Meta(max_length=1000)]

MAX_RECORD_BYTES: Final = 1 << 20

R = TypeVar("R", bound=msgspec.Struct)


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about which model serves a universe in a role.

    Attributes
    ----------
    seq
        Number among the activations of its universe and role, from 1, without gaps.
    sha256
        Of the model's weights, as its manifest says.
    since_ts_close
        The model serves windows that end after it, ns; 0 for as soon as it is known.
    job_id
        The job that made the model, if one did; a job activates once.
    restores_seq
        The activation that a rollback goes back to; None for any other activation.
    created_ns
        Wall clock, ns since the UNIX epoch.
    """

    universe: Identifier
    role: Role
    seq: Annotated[int, msgspec.Meta(ge=1)]
    model_id: Identifier
    sha256: Sha256
    since_ts_close: Nanos = 0
    job_id: Identifier | None = None
    detail: Detail = ""
    restores_seq: Annotated[int, msgspec.Meta(ge=1)] | None = None
    created_ns: Nanos = 0


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """How a model came to be.

    Attributes
    ----------
    parent_id
        The model that it was made from: a student's teacher, or what was compressed.
    incumbent_id
        The model that it was compared with.
    job_id, dataset_id, recipe_id
        What a job was told.
    data_digest, recipe_digest
        `sha256:<hex>` of the training data and of the recipe; "" where unknown.
    from_ts_close, to_ts_close
        Windows learned from, those that end in (from_ts_close, to_ts_close], ns; 0 for an open end.
    metrics
        Name to value, of the comparison with the incumbent.
    created_ns
        Wall clock, ns since the UNIX epoch.
    """

    model_id: Identifier
    parent_id: Identifier | None = None
    incumbent_id: Identifier | None = None
    job_id: Identifier | None = None
    dataset_id: Identifier | None = None
    recipe_id: Identifier | None = None
    data_digest: str = ""
    recipe_digest: str = ""
    seed: Count = 0
    from_ts_close: Nanos = 0
    to_ts_close: Nanos = 0
    metrics: dict[str, float] = {}
    detail: Detail = ""
    created_ns: Nanos = 0


def encode_record(record: Any) -> bytes:
    """Return a record as JSON with sorted keys, so that equal records are equal bytes.

    Raises
    ------
    RegistryError
        A field breaks its rule; constructors do not check, this does.
    """
    try:
        data = msgspec.json.encode(record, order="sorted")
        msgspec.json.decode(data, type=type(record))
    except (msgspec.ValidationError, TypeError) as error:
        raise RegistryError(f"{type(record).__name__.lower()}: {error}") from error
    return msgspec.json.format(data, indent=2) + b"\n"


def decode_record(data: bytes, kind: type[R], source: str) -> R:
    """Return the record that `encode_record` wrote.

    Raises
    ------
    RegistryTamperedError
        The bytes are no such record; `source` is named.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RegistryTamperedError(f"{source} is no {kind.__name__.lower()}: {error}") from error


def require_identifier(name: str, value: str) -> str:
    """Return an id that is safe in a path.

    Raises
    ------
    RegistryError
        It is not.
    """
    try:
        return msgspec.convert(value, Identifier)
    except msgspec.ValidationError as error:
        raise RegistryError(
            f"`{name}` (={value!r}) must be 1 to 128 of A-Z a-z 0-9 . _ - and start with a letter or digit"
        ) from error


def require_role(role: str) -> str:
    """Return a role.

    Raises
    ------
    RegistryError
        It is none.
    """
    if role not in get_args(Role):
        raise RegistryError(f"`role` (={role!r}) must be 'student' or 'teacher'")
    return role
