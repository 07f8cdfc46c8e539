"""The student as a streaming model, served by the numba kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cs3g_model.config import StudentConfig, edge_relations
from cs3g_model.constants import RELATION_SCALE, SECTOR
from cs3g_model.errors import ArtifactFormatError, ShapeError
from cs3g_model.kernel import largest, run_student
from cs3g_model.linear_kernel import unrounded
from cs3g_model.protocol import Role
from cs3g_model.shapes import check_shape, check_snapshots
from cs3g_model.snapshots import Snapshots, slots_of
from cs3g_model.state import HiddenState
from cs3g_model.student_plan import Inputs, Scales, StudentWeights, Workspace, allocate, make_plan

__all__ = ["StudentRuntime", "pack_weights"]

Arrays = dict[str, NDArray[np.float32]]
Slots = tuple[tuple[str, int], ...]


def pack_weights(config: StudentConfig, tensors: Arrays) -> StudentWeights:
    """Arrange the module's named tensors for the kernel.

    Raises
    ------
    ArtifactFormatError
        If a tensor is missing or left over, has a wrong shape, or is not finite.
    """
    F, L, D, S, R = (
        config.n_features,
        config.wavelet_levels,
        config.width,
        config.state_size,
        config.rank,
    )
    left = dict(tensors)

    def take(name: str, *shape: int) -> NDArray[np.float32]:
        if name not in left:
            raise ArtifactFormatError(f"the student's weights lack {name!r}")
        array = np.ascontiguousarray(left.pop(name), np.float32)
        try:
            check_shape(name, array.shape, shape)
        except ShapeError as error:
            raise ArtifactFormatError(f"the weights do not fit the configuration: {error}") from error
        if not np.isfinite(array).all():
            raise ArtifactFormatError(f"the student's weights {name!r} must be finite")
        return array

    learned = config.threshold == "learned" and L > 0
    threshold = take("wavelets.threshold", L, F).clip(min=0) if learned else np.zeros((L, F), np.float32)
    inward = take("inward.whole.weight", D, F)[:, None, :].repeat(L + 1, axis=1)
    if L:
        bands = take("inward.bands.weight", D, (L + 1) * F).reshape(D, L + 1, F)
        inward = inward + take("inward.gain", D)[:, None, None] * bands
    with np.errstate(over="ignore", divide="ignore"):  # both are refused below
        A = -np.exp(take("ssm.A_log", D, 1))
        A_inverse = np.float32(1) / (A * np.arange(1, S + 1, dtype=np.float32))
    edges = edge_relations(config.relations)
    parts = 1 + int(config.graph) + len(config.relations)
    hidden = take("hidden.weight", D, parts * D).reshape(D, parts, D)
    if parts > 1:
        gains = np.concatenate([np.ones(1, np.float32), take("gains", parts - 1)])
        hidden = hidden * gains[:, None]
    place = {SECTOR: 2} | {name: 3 + e for e, name in enumerate(edges)}
    columns = [0, *([1] if config.graph else []), *(place[name] for name in config.relations)]
    wide = np.zeros((D, 3 + len(edges), D), np.float32)
    wide[:, columns] = hidden
    thresholds, masses = np.zeros(len(edges), np.float32), np.zeros(len(edges), np.float32)
    for i, name in enumerate(config.relations):
        if name != SECTOR:
            e = place[name] - 3
            thresholds[e] = RELATION_SCALE * abs(take(f"relations.{i}.threshold", 1)[0])
            masses[e] = np.logaddexp(RELATION_SCALE * take(f"relations.{i}.mass", 1)[0], np.float32(0))
    zeros = np.zeros((R, D), np.float32)
    weights = StudentWeights(
        threshold=threshold,
        inward=inward.reshape(D, (L + 1) * F),
        inward_bias=take("inward.whole.bias", D),
        delta=take("ssm.delta.weight", D, D),
        delta_bias=take("ssm.delta.bias", D),
        A=A[:, 0],
        A_inverse=A_inverse,
        B=take("ssm.B.weight", S, D),
        C=take("ssm.gain", S)[:, None] * take("ssm.C.weight", S, D),
        D=take("ssm.D", D),
        query=take("mixer.query.weight", R, D) if config.graph else zeros,
        key=take("mixer.key.weight", R, D) if config.graph else zeros,
        edge_threshold=thresholds,
        edge_mass=masses,
        hidden=wide.reshape(D, -1),
        hidden_bias=take("hidden.bias", D),
        outward=take("outward.weight", 1, D),
        outward_bias=take("outward.bias", 1),
        scales=Scales(*(np.ones(rows, np.float32) for rows in (D, D, S, S, R, R, D, 1))),
        inputs=Inputs(*(unrounded() for _ in Inputs._fields)),
    )
    if not (np.isfinite(A).all() and np.isfinite(A_inverse).all()):
        raise ArtifactFormatError("the student's `ssm.A_log` must give finite rates that are not 0")
    if not (masses > 0).all():
        raise ArtifactFormatError("the student's `mass` of a relation must give a weight above 0")
    if left:
        raise ArtifactFormatError(f"the student's weights hold unknown tensors: {sorted(left)}")
    return weights


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
