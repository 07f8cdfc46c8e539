"""The student as a streaming model, served by the numba kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cs3g_model.config import StudentConfig, edge_relations
from cs3g_model.errors import ShapeError
from cs3g_model.kernel import largest, run_student
from cs3g_model.protocol import Role
from cs3g_model.shapes import check_snapshots
from cs3g_model.snapshots import Snapshots, slots_of
from cs3g_model.state import HiddenState
from cs3g_model.student_plan import Workspace, allocate, make_plan
from cs3g_model.student_weights import Arrays, StudentWeights, pack_weights

__all__ = ["StudentRuntime"]

Slots = tuple[tuple[str, int], ...]


class StudentRuntime:
    """A student that streams.

    Pure at its rim; inside it reuses one workspace, so that an instance belongs to one thread.

    Parameters
    ----------
    config
        The student's configuration.
    tensors
        Named parameters as in `student.Student`.
    model_id
        The artifact's id.
    weights
        The same parameters arranged for the kernel, if not as `pack_weights` does.
    """

    role: Role = "student"

    def __init__(
        self, config: StudentConfig, tensors: Arrays, model_id: str, weights: StudentWeights | None = None
    ) -> None:
        self.config = config
        self.model_id = model_id
        self.warmup = config.warmup
        self._plan = make_plan(pack_weights(config, tensors) if weights is None else weights)
        self._edges = edge_relations(config.relations)
        self._workspace: Workspace | None = None
        self._needs = (0, 0, 0)
        self._known_slots: tuple[Slots | None, NDArray[np.int64]] = None, np.zeros((0, 2), np.int64)

    def initial_state(self, n: int) -> HiddenState:
        """State of `n` instruments that were never seen."""
        c = self.config
        return HiddenState(
            {
                "haar": np.zeros((2**c.wavelet_levels - 1, c.n_features, n), np.float32),
                "ssm": np.zeros((c.width, c.state_size, n), np.float32),
            },
            self.model_id,
        )

    def step(self, snapshot: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        """Score one window, T = 1; scores are (N,)."""
        if snapshot.mask.shape[0] != 1:
            raise ShapeError(f"`step` takes one window, was {snapshot.mask.shape[0]}: use `step_many`")
        scores, state = self.step_many(snapshot, state)
        return scores[0], state

    def step_many(self, snapshots: Snapshots, state: HiddenState) -> tuple[NDArray[np.float32], HiddenState]:
        """Score a run; scores are (T, N).

        Raises
        ------
        ShapeError
            If the arrays do not fit each other, or an index points outside the universe.
        StateMismatchError
            If the state is another model's or of another N.
        """
        T, N = check_snapshots(snapshots, self.config.n_features)
        state.require(self.model_id, N)
        neighbor, sector = largest(snapshots.neighbors, snapshots.sector)
        if neighbor >= N:  # the kernel does not check bounds
            raise ShapeError(f"`neighbors` must be < N (={N}), was {neighbor}")
        w = self._scratch(N, max(sector + 1, 1), snapshots.neighbors.shape[2])
        scores = np.empty((T, N), np.float32)
        if not T:
            return scores, state
        before = state.arrays["haar"], state.arrays["ssm"]
        after = np.empty(before[0].shape, np.float32), np.empty(before[1].shape, np.float32)
        run_student(
            self._plan.values,
            w.values,
            w.at,
            w.haar,
            w.h,
            np.ascontiguousarray(snapshots.features),
            np.ascontiguousarray(snapshots.mask),
            np.ascontiguousarray(snapshots.sector),
            np.ascontiguousarray(snapshots.neighbors),
            np.ascontiguousarray(snapshots.neighbor_weights),
            self._slots(snapshots.relations),
            np.ascontiguousarray(before[0]),
            np.ascontiguousarray(before[1]),
            after[0],
            after[1],
            scores,
        )
        return scores, HiddenState({"haar": after[0], "ssm": after[1]}, self.model_id)

    def _slots(self, relations: Slots) -> NDArray[np.int64]:
        # (E, 2), the first and the end of each edge relation's slots.
        known, slots = self._known_slots
        if known != relations:
            ends = [slots_of(relations, name) for name in self._edges]
            slots = np.array([(s.start, s.stop) for s in ends], np.int64).reshape(-1, 2)
            self._known_slots = relations, slots
        return slots

    def _scratch(self, n_instruments: int, n_sectors: int, n_slots: int) -> Workspace:
        w, needs = self._workspace, (n_instruments, n_sectors, n_slots)
        if w is None or self._needs != needs:
            w = self._workspace = allocate(self._plan, *needs)
            self._needs = needs
        return w
