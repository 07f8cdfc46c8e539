"""The weighted sum of a stage's terms as what a fit minimizes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor, nn

from cs3g_model.distillation.recipe import Stage
from cs3g_model.distillation.registry import TERMS
from cs3g_model.distillation.term import Classroom, Term, View
from cs3g_model.inputs import ModelOutput
from cs3g_model.training.batch import Batch, Objective

__all__ = ["StagedObjective"]


class StagedObjective(Objective):
    """The losses of one stage at a time; see `enter`.

    A term that several stages name with the same settings, whatever its weights, is one term, so that a regressor
    which one stage has trained serves the next.

    Parameters
    ----------
    stages
        All that will be entered.
    room
        What is taught, and to whom.

    Raises
    ------
    ConfigError
        If the student or the lesson lacks what a loss compares.
    """

    def __init__(self, stages: Sequence[Stage], room: Classroom) -> None:
        self.room = room
        self.values: dict[str, list[Tensor]] = {}
        self._terms: dict[str, Term] = {}
        self._active: dict[str, tuple[float, Term]] = {}
        for stage in stages:
            self.enter(stage)

    def enter(self, stage: Stage) -> None:
        """Minimize a stage's losses from now on."""
        self._active = {}
        self.values = {}
        for name, settings in stage.settings().items():
            same = msgspec.structs.replace(settings, weight=1.0)
            key = f"{name} {msgspec.json.encode(same).decode()}"
            if key not in self._terms:
                self._terms[key] = TERMS[name](settings, self.room)
            self._active[name] = (settings.weight, self._terms[key])
            self.values[name] = []

    def parameters(self) -> list[nn.Parameter]:
        """Return those of the stage's terms."""
        return [p for _, term in self._active.values() for p in term.parameters()]

    def __call__(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Return the weighted sum of the stage's losses on the batch's windows."""
        told = self.room.lesson.window(batch.start, batch.stop, output.scores.device)
        view = View(output, batch, told)
        parts = []
        for name, (weight, term) in self._active.items():
            value = term(view)
            self.values[name].append(value.detach())
            parts.append(weight * value)
        return torch.stack(parts).sum() if len(parts) > 1 else parts[0]

    def course(self) -> dict[str, tuple[float, float]]:
        """Return each loss of the stage, not weighted, at its begin and its end: means of a fifth of the updates."""
        means = {}
        for name, values in self.values.items():
            if values:
                few = max(len(values) // 5, 1)
                told = torch.stack(values).cpu()
                means[name] = (float(told[:few].mean()), float(told[-few:].mean()))
        return means
