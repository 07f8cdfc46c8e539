"""Graph snapshots to predictions: a model's scores and ranks, with its hidden state as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from cs3g_model.errors import StateError as ModelStateError
from cs3g_model.protocol import StreamingModel
from cs3g_model.state import HiddenState
from pipeline.errors import GraphRunError, NonFiniteScoreError, StateDecodeError, StateMismatchError
from pipeline.graphs import snapshots_of
from pipeline.state_bytes import decode_state, encode_state
from pipeline.swaps import Swap, decode_swaps, encode_swaps
from topics.cuts import slice_graphs
from topics.runs import GraphRun, PredictionRun
from topics.types import BoolArray, Float32Array, Int32Array, UInt32Array

_KIND: Final = "scoring"
_VERSION: Final = 2
"""2 knows swaps; a checkpoint of 1 is read as well."""

_CONFIGURED: Final = -1
"""Stands for no activation."""


@dataclass(frozen=True, slots=True)
class ScoringState:
    """What a scorer carries from window to window; nobody writes into its arrays.

    Attributes
    ----------
    ts_close
        End of the last scored window, ns; 0 before the first.
    seq
        Windows scored so far, by whichever model; the next one's number.
    instrument_ids
        (N,) ascending, the hidden state's instruments.
    hidden
        The model's own state.
    seen
        Windows that this model has folded, those that warmed it included.
    activation
        Number of the activation by which the model serves; None for the configured one.
    decided
        The highest number of an activation that was heeded or refused, 0 for none.
    swaps
        Changes of the model to come, by their boundaries; see `pipeline.swap`.
    published
        End of the last window that an earlier worker is known to have published, ns: it may be ahead of
        `ts_close`, which is where that worker's last checkpoint was.
    since_offset
        Where the predictions topic ended before the first prediction of this sequence.
    """

    ts_close: int
    seq: int
    instrument_ids: UInt32Array
    hidden: HiddenState
    seen: int = 0
    activation: int | None = None
    decided: int = 0
    swaps: tuple[Swap, ...] = ()
    published: int = 0
    since_offset: int = 0

    @property
    def model_id(self) -> str:
        """The model that it belongs to."""
        return self.hidden.model_id

    @classmethod
    def initial(cls, model: StreamingModel) -> Self:
        """Make the state before the first window."""
        return cls(0, 0, np.empty(0, np.uint32), model.initial_state(0))

    def to_bytes(self) -> bytes:
        """Encode for a checkpoint."""
        hidden = np.frombuffer(self.hidden.to_bytes(), np.uint8)
        return encode_state(
            _KIND,
            _VERSION,
            {
                "ts_close": self.ts_close,
                "seq": self.seq,
                "model_id": self.model_id,
                "seen": self.seen,
                "activation": _CONFIGURED if self.activation is None else self.activation,
                "decided": self.decided,
                "swaps": encode_swaps(self.swaps),
                "published": self.published,
                "since_offset": self.since_offset,
            },
            {"instrument_ids": self.instrument_ids, "hidden": hidden},
        )

    @classmethod
    def from_bytes(cls, data: bytes, model: StreamingModel | None = None) -> Self:
        """Decode what `to_bytes` wrote.

        Parameters
        ----------
        model
            What is going to use it; None to learn from the state which model that is.

        Raises
        ------
        StateDecodeError
            The bytes are no such checkpoint.
        StateMismatchError
            It is another model's.
        """
        fields, arrays = decode_state(data, _KIND, (_VERSION, 1))
        try:
            ts_close, seq, model_id = int(fields["ts_close"]), int(fields["seq"]), str(fields["model_id"])
            seen, decided = int(fields.get("seen", seq)), int(fields.get("decided", 0))
            activation = int(fields.get("activation", _CONFIGURED))
            swaps = decode_swaps(str(fields.get("swaps", "[]")))
            published, since_offset = int(fields.get("published", 0)), int(fields.get("since_offset", 0))
            instrument_ids, hidden = arrays["instrument_ids"], arrays["hidden"]
        except (KeyError, TypeError, ValueError) as error:
            raise StateDecodeError(f"a scoring checkpoint lacks a field: {error}") from error
        if model is not None:
            _require_model(model_id, model)
        if instrument_ids.dtype != np.uint32 or instrument_ids.ndim != 1 or hidden.dtype != np.uint8:
            raise StateDecodeError("a scoring checkpoint's arrays must be uint32 ids and the state's bytes")
        try:
            state = HiddenState.from_bytes(hidden.tobytes(), model_id)
        except ModelStateError as error:
            raise StateDecodeError(f"a scoring checkpoint's hidden state: {error}") from error
        return cls(
            ts_close=ts_close,
            seq=seq,
            instrument_ids=instrument_ids,
            hidden=state,
            seen=seen,
            activation=None if activation == _CONFIGURED else activation,
            decided=decided,
            swaps=swaps,
            published=published,
            since_offset=since_offset,
        )


def score_run(
    model: StreamingModel, run: GraphRun, state: ScoringState
) -> tuple[PredictionRun | None, ScoringState]:
    """Score the windows of a run that were not scored yet. Pure.

    Parameters
    ----------
    model
        Teacher or student.
    run
        Snapshots; windows with ts_close <= state.ts_close are dropped.
    state
        Of the windows before; the run's instruments must contain its own.

    Returns
    -------
    The predictions, None if no window is new, and the state after them.

    Raises
    ------
    StateMismatchError
        The state is another model's.
    GraphRunError
        The run lacks an instrument that the state knows.
    NonFiniteScoreError
        The model returned NaN or infinity for a present instrument.
    """
    _require_model(state.model_id, model)
    start = int(np.searchsorted(run.ts_close, state.ts_close, side="right"))
    n_windows = len(run.ts_close) - start
    if not n_windows:
        return None, state
    fresh = slice_graphs(run, start, len(run.ts_close))
    hidden = _hidden_for(fresh.instrument_ids, state)
    scores, hidden = model.step_many(snapshots_of(fresh), hidden)
    broken = ~np.isfinite(scores) & fresh.mask
    if broken.any():
        t, n = np.argwhere(broken)[0]
        raise NonFiniteScoreError(
            f"model {model.model_id} scored {fresh.symbols[n]!r} {scores[t, n]} in the window that ends at"
            f" {fresh.ts_close[t]}: take it out of service, or find the input that broke it",
            model_id=model.model_id,
            ts_close=int(fresh.ts_close[t]),
        )
    predictions = PredictionRun(
        universe=fresh.universe,
        role=model.role,
        model_id=model.model_id,
        seq=state.seq,
        size_ns=fresh.size_ns,
        instrument_ids=fresh.instrument_ids,
        symbols=fresh.symbols,
        ts_close=fresh.ts_close,
        scores=np.where(fresh.mask, scores, np.float32(0.0)),
        ranks=rank_scores(scores, fresh.mask),
        mask=fresh.mask,
        warmup=np.arange(state.seen, state.seen + n_windows) < model.warmup,
    )
    return predictions, replace(
        state,
        ts_close=int(fresh.ts_close[-1]),
        seq=state.seq + n_windows,
        seen=state.seen + n_windows,
        instrument_ids=fresh.instrument_ids,
        hidden=hidden,
    )


def rank_scores(scores: Float32Array, mask: BoolArray) -> Int32Array:
    """Return each present instrument's rank (T, N): 1 is the highest score, ties by position; 0 if absent."""
    order = np.argsort(np.where(mask, -scores, np.inf), axis=1, kind="stable")
    ranks = np.empty(scores.shape, np.int32)
    ranks[np.arange(len(order))[:, None], order] = np.arange(1, scores.shape[1] + 1, dtype=np.int32)
    return np.where(mask, ranks, np.int32(0))


def _require_model(model_id: str, model: StreamingModel) -> None:
    if model_id != model.model_id:
        raise StateMismatchError(
            f"the state is of model {model_id!r}, this is {model.model_id!r}:"
            " start from `ScoringState.initial` and warm up again",
            expected=model.model_id,
            actual=model_id,
        )


def _hidden_for(instrument_ids: UInt32Array, state: ScoringState) -> HiddenState:
    if np.array_equal(instrument_ids, state.instrument_ids):
        return state.hidden
    missing = np.setdiff1d(state.instrument_ids, instrument_ids)
    if len(missing):
        raise GraphRunError(
            f"the run lacks instrument {missing[0]}, which earlier snapshots hold: it is of another run"
        )
    index = np.full(len(instrument_ids), -1, np.int64)
    index[np.searchsorted(instrument_ids, state.instrument_ids)] = np.arange(len(state.instrument_ids))
    return state.hidden.reindex(index)
