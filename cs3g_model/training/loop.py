"""Minimizes an objective by truncated backpropagation through time.

The history is cut into chunks, visited in random order, each from the state that the chunk before it left
when it was last visited, a fresh one at first. A running average of the weights is validated several times an
epoch and the best one is kept. Single-threaded, so that a seed decides every bit.

Several ranks divide the chunks into date blocks, one each. An update averages the gradients of one chunk of
every block; at the end of an epoch a block hands its last state to the next one. So W ranks make 1 / W as
many updates of W times as many windows.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots, chunk_starts
from cs3g_model.errors import TrainingError
from cs3g_model.inputs import snapshot_tensors
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import single_thread
from cs3g_model.training.batch import Batch, Objective
from cs3g_model.training.fit_records import FitRecords, fit_identity
from cs3g_model.training.fit_state import FitState
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.options import Extent, FitResult, OnProgress, RunOptions
from cs3g_model.training.place import Windows, as_float32, deterministic
from cs3g_model.training.validation import Model, valid_rank_ic

__all__ = ["fit", "train"]


def train(
    config: TeacherConfig | StudentConfig,
    data: LabeledSnapshots,
    settings: TrainConfig,
    progress: OnProgress | None = None,
    options: RunOptions | None = None,
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
    options
        Device, ranks, checkpoint and metrics; by default one CPU process that leaves nothing behind.

    Raises
    ------
    TrainingError
        If a loss is not finite.
    CheckpointError
        If a checkpoint is there but may not or cannot be gone on from.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model: Model = Teacher(config) if isinstance(config, TeacherConfig) else Student(config)
        objective = LabelObjective(data.labels[: data.train_stop], data.scored(0, data.train_stop), settings)
        return fit(model, data, settings, objective, progress, options)


def fit(
    model: Model,
    data: LabeledSnapshots,
    settings: TrainConfig,
    objective: Objective,
    progress: OnProgress | None = None,
    options: RunOptions | None = None,
    *,
    extent: Extent | None = None,
) -> FitResult:
    """Minimize an objective; the caller has seeded torch. See `train`.

    Parameters
    ----------
    model
        Trained in place.
    data, settings, progress, options
        As of `train`.
    objective
        What is minimized.
    extent
        How long, and which weights are returned.
    """
    options = options or RunOptions()
    with single_thread(), deterministic(options.place.device):
        loop = _Loop(model, data, settings, objective, options, extent or Extent())
        loop.records.resume()
        while not loop.is_over():
            loss = loop.update()
            if progress is not None:
                progress(loop.records.progress(loss))
        if not loop.state.is_over:
            loop.state.is_over = True
            if loop.extent.keeps_last:
                loop.state.kept.take_last(loop.state.average)
            loop.records.save()
        kept = loop.state.kept
        return FitResult(kept.tensors, kept.losses, kept.valid, kept.best)


class _Loop:
    """A fit under way; `update` goes one step."""

    def __init__(
        self,
        model: Model,
        data: LabeledSnapshots,
        settings: TrainConfig,
        objective: Objective,
        options: RunOptions,
        extent: Extent,
    ) -> None:
        self.data, self.settings, self.objective, self.options = data, settings, objective, options
        self.extent = extent
        self.ranks, self.device = options.ranks, options.place.device
        identity = fit_identity(
            model, data, settings, options, extent
        )  # before anything is done to the model
        self.windows = Windows(snapshot_tensors(data.snapshots), self.device)
        self.scored = torch.tensor(data.scored(0, data.train_stop))
        self.starts = chunk_starts(data, settings.chunk)
        self.state = FitState(
            model,
            objective,
            settings,
            options,
            n_chunks=len(self.starts),
            n_instruments=self.windows.n_instruments,
            updates=extent.updates,
        )
        self.records = FitRecords(self.state, options, identity)

    def is_over(self) -> bool:
        """Return whether every update is made, or patience has ended."""
        state = self.state
        waited = len(state.kept.valid) - 1 - state.kept.best
        has_waited = waited >= self.settings.patience and not self.extent.keeps_last
        return state.is_over or state.done >= state.total or has_waited

    def update(self) -> float:
        """Go one step; returns the loss, a mean over the ranks."""
        state = self.state
        epoch, step = divmod(state.done, state.steps)
        if step == 0:
            state.draw_order()
        state.optimizer.zero_grad(set_to_none=True)
        takes_part = step < len(state.order)
        own = self._backward(state.order[step]) if takes_part else 0.0
        told = torch.tensor(
            [own, float(takes_part), float(self.records.wants_checkpoint())], device=self.device
        )
        rows = self.ranks.average_gradients(state.parameters, told, takes_part)
        loss = float((rows[:, 0] * rows[:, 1]).sum() / rows[:, 1].sum())
        if not math.isfinite(loss):
            start = self.starts[state.order[step]] if takes_part else self.data.train_stop
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch}, update {state.done + 1}, windows from {start} on: "
                "lower `learning_rate`"
            )
        nn.utils.clip_grad_norm_(state.parameters, self.settings.gradient_norm)
        rate = float(state.optimizer.param_groups[0]["lr"])
        state.optimizer.step()
        self.objective.after_update(state.model)
        state.schedule.step()
        state.follow(self.settings.average)
        state.kept.losses_since.append(loss)
        if step + 1 == state.steps:
            self._hand_over()
        self._report(loss, rate, epoch, step, saves=bool(rows[0, 2]))
        return loss

    def _backward(self, i: int) -> float:
        # Adds chunk i's gradients, keeps its last state for the next chunk, and returns its loss.
        state = self.state
        start, stop = self.starts[i], min(self.starts[i] + self.settings.chunk, self.data.train_stop)
        place = i - state.block.start
        mask = self.scored[start:stop].to(self.device)
        batch = Batch(start, stop, mask, self.windows.window(start, stop), state.states[place], state.model)
        state.model.train()
        with self.options.place.autocast():
            output, after = state.model(batch.x, batch.state)
        loss = self.objective(as_float32(output), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        state.keep_state(place + 1, after)
        return loss.item()

    def _report(self, loss: float, rate: float, epoch: int, step: int, *, saves: bool) -> None:
        kept = self.state.kept
        ends = step + 1 == self.state.steps or self.state.done == self.state.total
        checks = (step + 1) % kept.every == 0 or ends
        has_valid = self.data.valid_stop > self.data.train_stop and not self.extent.keeps_last
        if checks:
            kept.check(self.state.average, self._validate if has_valid else None)
        if checks or self.state.done % self.options.metrics_every == 0:
            self.records.write(
                "validation" if checks else "update",
                epoch=epoch,
                step=step + 1,
                loss=kept.losses[-1] if checks else loss,
                valid_rank_ic=kept.latest() if has_valid else math.nan,
                learning_rate=rate,
            )
        if checks or saves:
            self.records.save()

    def _validate(self) -> float:
        # Rank 0's word counts: on unlike machines the ranks might else part over a last bit.
        value = 0.0
        if self.ranks.rank == 0:
            value = valid_rank_ic(self.state.average, self.windows.x, self.data)
        return float(self.ranks.gather(torch.tensor([value], dtype=torch.float64, device=self.device))[0])

    def _hand_over(self) -> None:
        # The last state of a rank's block is where the next rank's block starts.
        last = self.state.states[-1]
        if self.ranks.size == 1 or not last:
            return
        flat = torch.cat([h.reshape(-1) for h in last.values()])
        before = self.ranks.gather(flat)[self.ranks.rank - 1]
        if self.ranks.rank > 0:
            parts = torch.split(before, [h.numel() for h in last.values()])
            pairs = zip(last.items(), parts, strict=True)
            self.state.keep_state(0, {name: part.view_as(h) for (name, h), part in pairs})
