"""Running a module over windows, and keeping the weights that validate best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.inputs import ModelOutput, SnapshotTensors, State, initial_tensors
from cs3g_model.metrics import rank_ic
from cs3g_model.training.place import moved, moved_state

__all__ = ["BURN_IN", "Kept", "Model", "fresh_state", "run_module", "valid_rank_ic"]

BURN_IN = 64
"""Windows that a validation runs before the first it scores; older ones have faded from the state."""


Model = nn.Module
"""Called with snapshots and a state, and has `state_shapes`, as `Teacher` and `Student`."""


def fresh_state(model: Model, n: int) -> State:
    """Return a model's state of `n` instruments never seen, on the model's device."""
    shapes: dict[str, tuple[int, ...]] = cast(Any, model).state_shapes()
    return moved_state(initial_tensors(shapes, n), next(model.parameters()).device)


def run_module(model: Model, x: SnapshotTensors, start: int, stop: int) -> ModelOutput:
    """Run windows [start, stop) after `BURN_IN` earlier ones, in inference mode and float32.

    Parameters
    ----------
    model
        On any device; windows are moved to it.
    x
        The history.
    start, stop
        Windows that are returned.

    Returns
    -------
    ModelOutput
        Scores, hidden layer and dispersion, T = stop - start, in the CPU's memory; no graph.
    """
    device = next(model.parameters()).device
    with torch.inference_mode():
        model.eval()
        state = fresh_state(model, x.mask.shape[1])
        outputs = []
        for t in range(max(start - BURN_IN, 0), stop, BURN_IN):
            output, state = model(moved(x.window(t, min(t + BURN_IN, stop)), device), state)
            outputs.append(output)
        skipped = start - max(start - BURN_IN, 0)
        dispersions = [o.log_dispersion.cpu() for o in outputs if o.log_dispersion is not None]
        return ModelOutput(
            torch.cat([o.scores.cpu() for o in outputs])[skipped:],
            torch.cat([o.hidden.cpu() for o in outputs])[skipped:],
            torch.cat(dispersions)[skipped:] if dispersions else None,
        )


def valid_rank_ic(model: Model, x: SnapshotTensors, data: LabeledSnapshots) -> float:
    """Return the mean rank IC over the validation windows that have one; 0 if none has."""
    start, stop = data.train_stop, data.valid_stop
    scores = run_module(model, x, start, stop).scores.numpy()
    series = rank_ic(scores, data.labels[start:stop], data.scored(start, stop))
    return float(np.nanmean(series)) if np.isfinite(series).any() else 0.0


class Kept:
    """The best weights so far; mutated by `check`.

    Attributes
    ----------
    every
        Updates between two checks.
    losses, valid
        Of each check: mean training loss since the one before, and the validation's value.
    best
        Index of the check whose weights are kept.
    tensors
        These weights, by name.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.losses_since: list[float] = []
        self.losses: list[float] = []
        self.valid: list[float] = []
        self.best = 0
        self.tensors: dict[str, NDArray[np.float32]] = {}

    def check(self, model: Model, validate: Callable[[], float] | None) -> None:
        """Judge a model; without validation the negative loss stands for its value."""
        self.losses.append(float(np.mean(self.losses_since)))
        self.losses_since.clear()
        self.valid.append(-self.losses[-1] if validate is None else validate())
        if not self.tensors or self.valid[-1] > self.valid[self.best]:
            self.best = len(self.valid) - 1
            self._keep(model)

    def take_last(self, model: Model) -> None:
        """Keep a model whatever its value, as the last check's."""
        self.best = len(self.valid) - 1
        self._keep(model)

    def _keep(self, model: Model) -> None:
        self.tensors = {name: p.detach().cpu().numpy().copy() for name, p in model.state_dict().items()}

    def latest(self) -> float:
        """Return the last validation's value, NaN before the first."""
        return self.valid[-1] if self.valid else float("nan")

    def to_value(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        names = ("losses_since", "losses", "valid", "best", "tensors")
        return {name: getattr(self, name) for name in names}

    def restore(self, value: dict[str, Any]) -> None:
        """Take over what `to_value` returned."""
        for name, part in value.items():
            setattr(self, name, part)
