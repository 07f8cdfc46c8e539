"""The teacher as a streaming model: torch, window by window, on the present instruments only.

Taking the absent out first makes a score independent of rows that never tick; folding single windows
makes it independent of how a run is cut. Inputs are copied into torch's aligned memory and torch is held
to one thread, because matrix products may differ by alignment and by the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from cs3g_model.config import TeacherConfig
from cs3g_model.errors import ArtifactFormatError, ShapeError
from cs3g_model.inputs import arrays_to_state, snapshot_tensors, state_to_arrays
from cs3g_model.protocol import Role
from cs3g_model.shapes import check_snapshots
from cs3g_model.snapshots import Snapshots
from cs3g_model.state import HiddenState
from cs3g_model.teacher import Teacher, TeacherBlock

__all__ = ["TeacherRuntime", "load_tensors", "single_thread"]

Arrays = dict[str, NDArray[np.float32]]


@contextmanager
def single_thread() -> Iterator[None]:
    """Hold torch to one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def load_tensors(module: torch.nn.Module, tensors: Arrays) -> None:
    """Load named parameters into a module.

    Raises
    ------
    ArtifactFormatError
        If the names or shapes differ, or a value is not finite.
    """
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ArtifactFormatError(f"the weights {name!r} must be finite")
    try:
        module.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()}, strict=True)
    except RuntimeError as error:
        raise ArtifactFormatError(f"the weights do not fit the configuration: {error}") from error


class TeacherRuntime:
    """A teacher that streams. Pure.

    Parameters
    ----------
    config
        The teacher's configuration.
    tensors
        Named parameters as in `teacher.Teacher`.
    model_id
        The artifact's id.
    """

    role: Role = "teacher"

    def __init__(self, config: TeacherConfig, tensors: Arrays, model_id: str) -> None:
        self.config = config
        self.model_id = model_id
        self.warmup = config.warmup
        self._module = Teacher(config).eval()
        load_tensors(self._module, tensors)
        for block in self._module.blocks:
            cast(TeacherBlock, block).serving = True

    def initial_state(self, n: int) -> HiddenState:
        """State of `n` instruments that were never seen."""
        shapes = self._module.state_shapes()
        return HiddenState(
            {name: np.zeros((*shape, n), np.float32) for name, shape in shapes.items()}, self.model_id
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
            If the arrays do not fit each other.
        StateMismatchError
            If the state is another model's or of another N.
        """
        T, N = check_snapshots(snapshots, self.config.n_features)
        state.require(self.model_id, N)
        if snapshots.neighbors.size and snapshots.neighbors.max() >= N:
            raise ShapeError(f"`neighbors` must be < N (={N}), was {snapshots.neighbors.max()}")
        arrays = {name: array.copy() for name, array in state.arrays.items()}
        scores = np.zeros((T, N), np.float32)
        with single_thread(), torch.inference_mode():
            for t in range(T):
                present = np.flatnonzero(snapshots.mask[t])
                if not len(present):
                    continue
                own = {name: array[..., present] for name, array in arrays.items()}
                out, after = self._module.step(
                    snapshot_tensors(_take(snapshots, t, present)), arrays_to_state(own)
                )
                scores[t, present] = out.numpy()
                for name, array in state_to_arrays(after).items():
                    arrays[name][..., present] = array
        return scores, HiddenState(arrays, self.model_id)


def _take(snapshots: Snapshots, t: int, present: NDArray[np.int64]) -> Snapshots:
    # One window with the absent taken out; neighbors that are absent become -1.
    place = np.full(snapshots.mask.shape[1] + 1, -1, np.int32)
    place[present] = np.arange(len(present), dtype=np.int32)
    neighbors = place[snapshots.neighbors[t, present]]  # -1 reads the last entry, itself -1
    return Snapshots(
        features=snapshots.features[t : t + 1, present],
        mask=np.ones((1, len(present)), np.bool_),
        sector=snapshots.sector[present],
        neighbors=neighbors[None],
        neighbor_weights=snapshots.neighbor_weights[t : t + 1, present],
        relations=snapshots.relations,
    )
