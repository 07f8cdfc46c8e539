"""Brings snapshots and predictions together: which windows are mature, and what belongs to each.

Snapshots come in order of ts_close, and so do each role's predictions; how the two topics interleave, and how
runs are cut, is nobody's promise. A window is mature once the snapshot of its horizon is there and every expected
role has predicted it, has gone past it, or is given up. A role is given up for a window by what lies on the
predictions topic alone: another role has predicted so many windows after it first. So a stage that catches up says
what one that was there all the time has said. What comes again is dropped: the first wins.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.drift import ABSENT, encode_values
from pipeline.errors import GraphRunError
from pipeline.outcomes_config import OutcomesConfig
from pipeline.outcomes_pieces import HeldScores, HeldSnapshots, Mature, scored_on, split_after, spread
from pipeline.outcomes_state import OutcomesState
from topics.runs import GraphRun, PredictionRun
from topics.types import UNDEF_PRICE, Int64Array, Mode, Role

MAX_WINDOWS_AT_ONCE: Final = 512
"""Windows that are settled in one go: bounds the arrays and what is published behind one checkpoint."""


class OutcomeJoin:
    """Windows that wait for their label or for a role. Mutates self.

    Parameters
    ----------
    mode
        A replay gives no role up.
    state
        Windows up to its ts_close are settled and dropped when they come again.
    """

    def __init__(
        self, config: OutcomesConfig, state: OutcomesState, *, universe: str, size_ns: int, mode: Mode
    ) -> None:
        self._config = config
        self._patience = config.patience(mode)
        self._universe = universe
        self._size_ns = size_ns
        self._snapshots: list[HeldSnapshots] = []
        self._last_snapshot_ns = state.ts_close
        self._scores: dict[Role, list[HeldScores]] = {role: [] for role in config.roles}
        self._last_score_ns: dict[Role, int] = dict.fromkeys(config.roles, state.ts_close)
        # Windows that end before it are not waited for.
        self._given_up_ns: dict[Role, int] = dict.fromkeys(config.roles, state.ts_close)

    @property
    def n_waiting(self) -> int:
        """Snapshots that are held."""
        return sum(len(piece.ts_close) for piece in self._snapshots)

    def add_graphs(self, run: GraphRun) -> int:
        """Take snapshots; those of another universe are not looked at.

        Returns
        -------
        End of the last window taken, ns; 0 where nothing was new.

        Raises
        ------
        GraphRunError
            Windows of another length than configured, or other features than those before.
        """
        if run.universe != self._universe:
            return 0
        self._check_size(run.size_ns, "snapshots")
        start = int(np.searchsorted(run.ts_close, self._last_snapshot_ns, side="right"))
        if start == len(run.ts_close):
            return 0
        if self._snapshots and self._snapshots[-1].codes.shape[2] != run.features.shape[2]:
            raise GraphRunError(
                f"snapshots of {run.features.shape[2]} features cannot follow those of"
                f" {self._snapshots[-1].codes.shape[2]}: replay them under a run id of their own"
            )
        rows = slice(start, None)
        mask = run.mask[rows]
        close = np.where(mask & (run.close[rows] != UNDEF_PRICE), run.close[rows] * 1e-9, np.nan)
        self._snapshots.append(
            HeldSnapshots(
                run.ts_close[rows], run.instrument_ids, close, encode_values(run.features[rows], mask)
            )
        )
        self._last_snapshot_ns = int(run.ts_close[-1])
        return self._last_snapshot_ns

    def add_predictions(self, run: PredictionRun) -> int:
        """Take predictions; those of another universe, or of a role that is not expected, are not looked at.

        Returns
        -------
        End of the last window taken, ns; 0 where nothing was new.

        Raises
        ------
        GraphRunError
            Windows of another length than configured.
        """
        if run.universe != self._universe or run.role not in self._scores:
            return 0
        self._check_size(run.size_ns, "predictions")
        done_ns = max(self._last_score_ns[run.role], self._given_up_ns[run.role] - 1)
        start = int(np.searchsorted(run.ts_close, done_ns, side="right"))
        if start == len(run.ts_close):
            return 0
        rows = slice(start, None)
        scores = np.where(run.mask[rows], run.scores[rows], np.float32(np.nan))
        self._scores[run.role].append(
            HeldScores(run.ts_close[rows], run.instrument_ids, run.model_id, scores, run.warmup[rows])
        )
        self._last_score_ns[run.role] = int(run.ts_close[-1])
        self._give_up_behind(run.role)
        return self._last_score_ns[run.role]

    def take(self) -> Mature | None:
        """Return the oldest mature windows, at most `MAX_WINDOWS_AT_ONCE`, and forget them; None if there is none."""
        if not self._snapshots:
            return None
        ts_close = np.concatenate([piece.ts_close for piece in self._snapshots])
        n_mature = min(self._count_mature(ts_close), MAX_WINDOWS_AT_ONCE)
        if n_mature <= 0:
            return None
        horizon = self._config.horizon_windows
        held, _ = split_after(self._snapshots, int(ts_close[n_mature + horizon - 1]))
        wanted = ts_close[:n_mature]
        taken: dict[Role, list[HeldScores]] = {}
        for role, pieces in self._scores.items():
            taken[role], self._scores[role] = split_after(pieces, int(wanted[-1]))
        instrument_ids = np.unique(
            np.concatenate(
                [piece.instrument_ids for piece in held]
                + [piece.instrument_ids for pieces in taken.values() for piece in pieces]
            )
        )
        close = spread(held, instrument_ids, lambda piece: piece.close, np.nan, np.float64)
        codes = spread(held, instrument_ids, lambda piece: piece.codes, ABSENT, np.uint8)
        self._snapshots = split_after(self._snapshots, int(wanted[-1]))[1]
        for role, last_ns in self._last_score_ns.items():
            self._last_score_ns[role] = max(last_ns, int(wanted[-1]))
        return Mature(
            ts_close=wanted,
            matured_ns=ts_close[horizon : n_mature + horizon],
            close=close[:n_mature],
            close_after=close[horizon:],
            codes=codes[:n_mature],
            scored={role: scored_on(pieces, wanted, instrument_ids) for role, pieces in taken.items()},
        )

    def _check_size(self, size_ns: int, what: str) -> None:
        if size_ns != self._size_ns:
            raise GraphRunError(
                f"{what} of windows of {size_ns} ns cannot be joined where `window_size_ns` is {self._size_ns}:"
                " give this stage the setting of the workers that made them"
            )

    def _give_up_behind(self, ahead: Role) -> None:
        if self._patience is None:
            return
        # All of these windows are unsettled, and so it is after a restart, with the same result.
        ends = np.concatenate([piece.ts_close for piece in self._scores[ahead]])
        if len(ends) <= self._patience:
            return
        for role in self._given_up_ns.keys() - {ahead}:
            self._given_up_ns[role] = max(self._given_up_ns[role], int(ends[-1 - self._patience]))

    def _count_mature(self, ts_close: Int64Array) -> int:
        ready = len(ts_close) - self._config.horizon_windows
        for role, last_ns in self._last_score_ns.items():
            n_seen = np.searchsorted(ts_close, last_ns, side="right")
            n_given_up = np.searchsorted(ts_close, self._given_up_ns[role], side="left")
            ready = min(ready, max(int(n_seen), int(n_given_up)))
        return ready
