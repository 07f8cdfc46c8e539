"""All that changes while a fit runs, and its form in a checkpoint."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import nn

from cs3g_model.config import TrainConfig
from cs3g_model.inputs import State
from cs3g_model.optimizers import Lamb
from cs3g_model.training.batch import Objective
from cs3g_model.training.options import RunOptions
from cs3g_model.training.ranks import block_of
from cs3g_model.training.validation import Kept, Model, fresh_state

__all__ = ["FitState"]


class FitState:
    """Weights, moments, hidden states and the best weights so far; mutated by the loop.

    Parameters
    ----------
    model, objective
        Their parameters are moved to the device and trained in place.
    settings, options
        Of the loop: of the options its device and its ranks.
    n_chunks, n_instruments
        Of the training windows.
    updates
        Of the fit; None for the settings' epochs.

    Attributes
    ----------
    average
        Running average of the model.
    block
        The chunks that this rank visits.
    steps, total
        Updates in an epoch and in the fit.
    done
        Updates made.
    order
        The chunks in this epoch's order.
    states
        Of each chunk of the block, and behind the last: the state from which it starts.
    is_over, elapsed_s
        Whether the fit has ended, and the seconds spent by the runs before a resumption.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        settings: TrainConfig,
        options: RunOptions,
        *,
        n_chunks: int,
        n_instruments: int,
        updates: int | None = None,
    ) -> None:
        device, ranks = options.place.device, options.ranks
        self.device = device
        self.model = model.to(device)
        self.extra = objective.parameters()
        for p in self.extra:
            p.data = p.data.to(device)
        self.parameters: list[nn.Parameter] = [*model.parameters(), *self.extra]
        ranks.share_weights([*self.parameters, *model.buffers()])
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.block = block_of(n_chunks, ranks)
        self.steps = math.ceil(n_chunks / ranks.size)
        self.total = settings.epochs * self.steps if updates is None else updates
        self.optimizer = _optimizer(self.parameters, settings)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            settings.learning_rate,
            total_steps=self.total,
            pct_start=0.2 if self.total == 10 else 0.1,  # torch divides by zero where a rise is one step long
            final_div_factor=10.0,
        )
        fresh = fresh_state(model, n_instruments)
        self.states: list[State] = [fresh] * (len(self.block) + 1)
        self.visited: set[int] = set()  # places in `states` that are fresh no more
        self.kept = Kept(math.ceil(self.steps / settings.checks))
        self.n_chunks = n_chunks
        self.generator = np.random.default_rng(settings.seed)
        self.order: list[int] = []
        self.done = 0
        self.is_over = False
        self.elapsed_s = 0.0
        if ranks.size > 1:  # the ranks' weights are equal, their dropout is not
            torch.manual_seed(settings.seed + (ranks.rank << 32))

    def draw_order(self) -> None:
        """Begin an epoch: all ranks draw the same permutation, and each takes its own chunks from it."""
        order = self.generator.permutation(self.n_chunks)
        self.order = [int(i) for i in order if i in self.block]

    def keep_state(self, place: int, state: State) -> None:
        """Keep the state from which the chunk at a place of the block starts."""
        # Clones: a view would keep its whole run alive, and memory alignment may decide bits.
        self.states[place] = {
            name: h.detach().float().clone(memory_format=torch.contiguous_format) for name, h in state.items()
        }
        self.visited.add(place)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Let the running average follow the model; buffers are copied."""
        self.done += 1
        decay = min(decay, self.done / (self.done + 9))
        for a, p in zip(self.average.parameters(), self.model.parameters(), strict=True):
            a.lerp_(p, 1 - decay)
        for mine, other in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mine.copy_(other)

    def to_value(self, elapsed_s: float) -> dict[str, Any]:
        """Return nested dicts and lists of tensors and JSON values; hidden states only while they matter."""
        optimizer = self.optimizer.state_dict()
        places = [] if self.is_over else sorted(self.visited)
        names = self.states[0] if places else ()
        states = {name: torch.stack([self.states[i][name] for i in places]) for name in names}
        value = {
            "done": self.done,
            "is_over": self.is_over,
            "elapsed_s": elapsed_s,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "extra": [p.data for p in self.extra],
            "moments": {str(i): part for i, part in optimizer["state"].items()},
            "groups": optimizer["param_groups"],
            "schedule": self.schedule.state_dict(),
            "places": places,
            "states": states,
            "kept": self.kept.to_value(),
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            value["random_cuda"] = torch.cuda.get_rng_state(self.device)
        return value

    def restore(self, value: dict[str, Any]) -> None:
        """Take over what `to_value` returned, torch's random numbers included."""
        self.done, self.is_over = int(value["done"]), bool(value["is_over"])
        self.elapsed_s = float(value["elapsed_s"])
        self.model.load_state_dict(value["model"])
        self.average.load_state_dict(value["average"])
        with torch.no_grad():
            for p, saved in zip(self.extra, value["extra"], strict=True):
                p.copy_(saved)
        moments = {int(i): part for i, part in value["moments"].items()}
        self.optimizer.load_state_dict({"state": moments, "param_groups": value["groups"]})
        self.schedule.load_state_dict(value["schedule"])
        for row, place in enumerate(value["places"]):
            self.keep_state(place, {name: h[row].to(self.device) for name, h in value["states"].items()})
        self.kept.restore(value["kept"])
        for _ in range(math.ceil(self.done / self.steps)):
            self.draw_order()
        torch.set_rng_state(value["random"])
        if "random_cuda" in value:
            torch.cuda.set_rng_state(value["random_cuda"], self.device)


def _optimizer(parameters: list[nn.Parameter], settings: TrainConfig) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "lamb":
        return Lamb(parameters, lr=rate, weight_decay=decay)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
