"""Checkpoints as bytes: safetensors for the arrays, one JSON header for the rest; never pickle."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.errors import StateDecodeError

Arrays = dict[str, NDArray[Any]]

_KEY: Final = "state"
_LENGTH_BYTES: Final = 8  # safetensors: length of the JSON header, then the header


def encode_state(kind: str, version: int, fields: dict[str, int | str], arrays: Arrays) -> bytes:
    """Return a checkpoint; `fields` holds integers and texts."""
    header = json.dumps({"kind": kind, "version": version, "fields": fields}, sort_keys=True)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(save(contiguous, metadata={_KEY: header}))


def decode_state(data: bytes, kind: str, version: int | tuple[int, ...]) -> tuple[dict[str, Any], Arrays]:
    """Return the fields and arrays of a checkpoint.

    Parameters
    ----------
    version
        What the caller can read; of several, the one that it writes first.

    Raises
    ------
    StateDecodeError
        The bytes are no checkpoint of this kind and version.
    """
    versions = version if isinstance(version, tuple) else (version,)
    try:
        arrays = load(data)
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        metadata = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])["__metadata__"]
        header = json.loads(metadata[_KEY])
        found = header["kind"], header["version"]
        fields = header["fields"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StateDecodeError(f"{len(data)} bytes are no {kind} checkpoint: {error}") from error
    if found[0] != kind or found[1] not in versions:
        raise StateDecodeError(
            f"a checkpoint of {found[0]!r} version {found[1]!r} must be {kind!r} version {versions[0]}:"
            " start the stage from an earlier release, or let it begin anew under another run id"
        )
    return fields, arrays
