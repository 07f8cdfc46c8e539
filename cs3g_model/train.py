"""Fits a teacher or student to labels by truncated backpropagation through time.

The history is cut into chunks, visited in random order, each from the state that the chunk before it left
when it was last visited, a fresh one at first. A running average of the weights is
validated several times an epoch and the best one is kept. Single-threaded, so that a seed decides every bit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cs3g_model.config import StudentConfig, TargetMode, TeacherConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import TrainingError
from cs3g_model.inputs import ModelOutput, SnapshotTensors, State, initial_tensors, snapshot_tensors
from cs3g_model.losses import gaussian_nll, gaussian_rank, pairwise_loss, squared_error, zscore
from cs3g_model.metrics import rank_ic
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import single_thread
from cs3g_model.training.batch import Batch, Objective

__all__ = ["Batch", "FitResult", "LabelObjective", "Objective", "Progress", "fit", "run_module", "train"]

BURN_IN = 64
"""Windows that a validation runs before the first it scores; older ones have faded from the state."""

Model = Teacher | Student


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fit stands, handed to the progress callback after every update."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    valid_rank_ic: float
    remaining_s: float


@dataclass(frozen=True, slots=True)
class FitResult:
    """The chosen weights, and how the fit went.

    Attributes
    ----------
    tensors
        Named float32 arrays.
    losses, valid_rank_ics
        Mean training loss since the check before, and mean rank IC on the validation windows, of each
        check; without validation windows the negative loss stands for it.
    best_check
        Index of the check whose weights were kept.
    """

    tensors: dict[str, NDArray[np.float32]]
    losses: list[float]
    valid_rank_ics: list[float]
    best_check: int


class LabelObjective(Objective):
    """Squared error against standardized labels, with the configuration's extra terms."""

    def __init__(self, labels: NDArray[np.float32], scored: NDArray[np.bool_], config: TrainConfig) -> None:
        self.config = config
        self.targets = standardize(labels, scored, config.target)

    def __call__(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Return the loss of the batch's windows."""
        y, mask = self.targets[batch.start : batch.stop], batch.mask
        loss = squared_error(output.scores, y, mask)
        if self.config.pairwise:
            loss = loss + self.config.pairwise * pairwise_loss(output.scores, y, mask)
        if self.config.dispersion and output.log_dispersion is not None:
            loss = loss + self.config.dispersion * gaussian_nll(output.scores, output.log_dispersion, y, mask)
        return loss


def standardize(labels: NDArray[np.float32], scored: NDArray[np.bool_], target: TargetMode) -> Tensor:
    """Turn returns (T, N) into what the scores are fitted to; 0 where not scored."""
    mask = torch.tensor(scored)
    y = torch.tensor(np.where(scored, labels, 0.0), dtype=torch.float32)
    return zscore(y, mask) if target == "zscore" else gaussian_rank(y, mask)


def train(
    config: TeacherConfig | StudentConfig,
    data: LabeledSnapshots,
    settings: TrainConfig,
    progress: Callable[[Progress], None] | None = None,
) -> FitResult:
    """Train a model on labels alone.

    Parameters
    ----------
    config
        Decides the role.
    data
        History with labels and splits.
    settings
        Of the loop.
    progress
        Called after every update.

    Raises
    ------
    TrainingError
        If a loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model: Model = Teacher(config) if isinstance(config, TeacherConfig) else Student(config)
        objective = LabelObjective(data.labels[: data.train_stop], data.scored(0, data.train_stop), settings)
        return fit(model, data, settings, objective, progress)


def fit(
    model: Model,
    data: LabeledSnapshots,
    settings: TrainConfig,
    objective: Objective,
    progress: Callable[[Progress], None] | None = None,
) -> FitResult:
    """Minimize an objective; the caller has seeded torch."""
    with single_thread():
        return _fit(model, data, settings, objective, progress)


def _fit(
    model: Model,
    data: LabeledSnapshots,
    settings: TrainConfig,
    objective: Objective,
    progress: Callable[[Progress], None] | None,
) -> FitResult:
    generator = np.random.default_rng(settings.seed)
    x = snapshot_tensors(data.snapshots)
    scored = torch.tensor(data.scored(0, data.train_stop))
    starts = range(0, data.train_stop - 1, settings.chunk)
    states: list[State] = [initial_tensors(model.state_shapes(), x.mask.shape[1])] * (len(starts) + 1)
    average = copy.deepcopy(model).requires_grad_(False)
    parameters = [*model.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    total = settings.epochs * len(starts)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=total, pct_start=0.1, final_div_factor=10.0
    )
    kept = _Kept(math.ceil(len(starts) / settings.checks))
    began = time.monotonic()
    for done in range(total):
        epoch, step = divmod(done, len(starts))
        if step == 0:
            order = generator.permutation(len(starts))
        i = int(order[step])
        start, stop = starts[i], min(starts[i] + settings.chunk, data.train_stop)
        model.train()
        batch = Batch(start, stop, scored[start:stop], x.window(start, stop), states[i], model)
        output, after = model(batch.x, batch.state)
        loss = objective(output, batch)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} in epoch {epoch}, windows {start} to {stop}: "
                "lower `learning_rate`"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, settings.gradient_norm)
        optimizer.step()
        objective.after_update(model)
        schedule.step()
        states[i + 1] = {name: h.detach() for name, h in after.items()}
        _follow(average, model, min(settings.average, (done + 1) / (done + 10)))
        kept.losses_since.append(loss.item())
        if (step + 1) % kept.every == 0 or step + 1 == len(starts):
            kept.check(average, x, data)
        if progress is not None:
            remaining = (time.monotonic() - began) / (done + 1) * (total - done - 1)
            progress(
                Progress(epoch, settings.epochs, step + 1, len(starts), loss.item(), kept.latest(), remaining)
            )
        if len(kept.valid) - 1 - kept.best >= settings.patience:
            break
    return FitResult(kept.tensors, kept.losses, kept.valid, kept.best)


class _Kept:
    """The best weights so far; mutated by `check`."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.losses_since: list[float] = []
        self.losses: list[float] = []
        self.valid: list[float] = []
        self.best = 0
        self.tensors: dict[str, NDArray[np.float32]] = {}

    def check(self, model: Model, x: SnapshotTensors, data: LabeledSnapshots) -> None:
        self.losses.append(float(np.mean(self.losses_since)))
        self.losses_since.clear()
        has_valid = data.valid_stop > data.train_stop
        self.valid.append(_validate(model, x, data) if has_valid else -self.losses[-1])
        if not self.tensors or self.valid[-1] > self.valid[self.best]:
            self.best = len(self.valid) - 1
            self.tensors = {name: p.detach().numpy().copy() for name, p in model.state_dict().items()}

    def latest(self) -> float:
        return self.valid[-1] if self.valid else float("nan")


def run_module(model: Model, x: SnapshotTensors, start: int, stop: int) -> ModelOutput:
    """Run windows [start, stop) after `BURN_IN` earlier ones, in inference mode."""
    with torch.inference_mode():
        model.eval()
        state = initial_tensors(model.state_shapes(), x.mask.shape[1])
        outputs = []
        for t in range(max(start - BURN_IN, 0), stop, BURN_IN):
            output, state = model(x.window(t, min(t + BURN_IN, stop)), state)
            outputs.append(output)
        skipped = start - max(start - BURN_IN, 0)
        dispersions = [o.log_dispersion for o in outputs if o.log_dispersion is not None]
        return ModelOutput(
            torch.cat([o.scores for o in outputs])[skipped:],
            torch.cat([o.hidden for o in outputs])[skipped:],
            torch.cat(dispersions)[skipped:] if dispersions else None,
        )


def _validate(model: Model, x: SnapshotTensors, data: LabeledSnapshots) -> float:
    start, stop = data.train_stop, data.valid_stop
    scores = run_module(model, x, start, stop).scores.numpy()
    series = rank_ic(scores, data.labels[start:stop], data.scored(start, stop))
    return float(np.nanmean(series)) if np.isfinite(series).any() else 0.0


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    for a, p in zip(average.parameters(), model.parameters(), strict=True):
        a.lerp_(p, 1 - decay)
