"""A decided change of models, as a value that a checkpoint holds."""

from __future__ import annotations

from typing import Final

import msgspec


class Swap(msgspec.Struct, frozen=True, array_like=True):
    """Windows that end after a boundary are scored by another model.

    Attributes
    ----------
    boundary_ns
        End of the last window of the model before, ns.
    model_id
        The model after it.
    sha256
        Of its weights as they were announced; "" for a configured model.
    activation
        Number of the activation that wants it; None for a configured model.
    offset
        Of the announcement on its topic.
    """

    boundary_ns: int
    model_id: str
    sha256: str
    activation: int | None
    offset: int


_SWAPS: Final = msgspec.json.Decoder(tuple[Swap, ...])


def encode_swaps(swaps: tuple[Swap, ...]) -> str:
    """Return swaps as text."""
    return msgspec.json.encode(swaps).decode()


def decode_swaps(text: str) -> tuple[Swap, ...]:
    """Return the swaps that `encode_swaps` wrote.

    Raises
    ------
    ValueError
        The text is something else.
    """
    return _SWAPS.decode(text)
