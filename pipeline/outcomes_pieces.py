"""Runs of snapshots and predictions as the outcomes join holds them: cut at windows, spread over instruments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.drift import Codes
from topics.types import BoolArray, Float32Array, Float64Array, Int64Array, Role, UInt32Array


@dataclass(frozen=True, slots=True)
class Scored:
    """One role's predictions of mature windows, on the same axes as their closes.

    Attributes
    ----------
    model_ids
        T of them, "" where the role made no prediction.
    scores
        (T, N) NaN where there is none.
    warmup
        (T,) the model had seen too few windows.
    """

    model_ids: tuple[str, ...]
    scores: Float64Array
    warmup: BoolArray


@dataclass(frozen=True, slots=True)
class Mature:
    """Consecutive windows whose labels are known.

    Attributes
    ----------
    ts_close, matured_ns
        (T,) ends of the windows, and of the snapshots whose closes decided their labels.
    close, close_after
        (T, N) last price of the window and of the snapshot `horizon_windows` later, NaN where absent.
    codes
        (T, N, F) of the features, `pipeline.drift.encode_values`.
    """

    ts_close: Int64Array
    matured_ns: Int64Array
    close: Float64Array
    close_after: Float64Array
    codes: Codes
    scored: dict[Role, Scored]


@dataclass(frozen=True, slots=True)
class HeldSnapshots:
    """Consecutive snapshots, closes (T, N) and codes of features (T, N, F)."""

    ts_close: Int64Array
    instrument_ids: UInt32Array
    close: Float64Array
    codes: Codes

    def cut(self, start: int, stop: int) -> HeldSnapshots:
        """Return windows start..stop-1."""
        rows = slice(start, stop)
        return replace(self, ts_close=self.ts_close[rows], close=self.close[rows], codes=self.codes[rows])


@dataclass(frozen=True, slots=True)
class HeldScores:
    """Consecutive predictions of one model, NaN where absent."""

    ts_close: Int64Array
    instrument_ids: UInt32Array
    model_id: str
    scores: Float32Array
    warmup: BoolArray

    def cut(self, start: int, stop: int) -> HeldScores:
        """Return windows start..stop-1."""
        rows = slice(start, stop)
        return replace(self, ts_close=self.ts_close[rows], scores=self.scores[rows], warmup=self.warmup[rows])


Piece = TypeVar("Piece", HeldSnapshots, HeldScores)


def split_after(pieces: Sequence[Piece], ts_close: int) -> tuple[list[Piece], list[Piece]]:
    """Return what ends at or before a time, and what ends after it."""
    until: list[Piece] = []
    after: list[Piece] = []
    for piece in pieces:
        n = len(piece.ts_close)
        place = int(np.searchsorted(piece.ts_close, ts_close, side="right"))
        if place:
            until.append(piece if place == n else piece.cut(0, place))
        if place < n:
            after.append(piece if not place else piece.cut(place, n))
    return until, after


def spread(
    pieces: Iterable[Piece],
    instrument_ids: UInt32Array,
    values_of: Callable[[Piece], NDArray[Any]],
    empty: float,
    dtype: type[np.generic],
) -> NDArray[Any]:
    """Stack pieces over a superset of their instruments."""
    stacked = []
    for piece in pieces:
        values: NDArray[Any] = values_of(piece)
        out: NDArray[Any] = np.full((len(values), len(instrument_ids), *values.shape[2:]), empty, dtype)
        out[:, np.searchsorted(instrument_ids, piece.instrument_ids)] = values
        stacked.append(out)
    return np.concatenate(stacked)


def scored_on(pieces: Sequence[HeldScores], wanted: Int64Array, instrument_ids: UInt32Array) -> Scored:
    """Return a role's predictions of the wanted windows, over a superset of their instruments."""
    scores = np.full((len(wanted), len(instrument_ids)), np.nan)
    warmup = np.zeros(len(wanted), np.bool_)
    model_ids = [""] * len(wanted)
    for piece in pieces:
        # A prediction of a window whose snapshot retention took is of no use.
        _, rows, places = np.intersect1d(piece.ts_close, wanted, assume_unique=True, return_indices=True)
        columns = np.searchsorted(instrument_ids, piece.instrument_ids)
        scores[places[:, np.newaxis], columns] = piece.scores[rows]
        warmup[places] = piece.warmup[rows]
        for place in places.tolist():
            model_ids[place] = piece.model_id
    return Scored(tuple(model_ids), scores, warmup)
