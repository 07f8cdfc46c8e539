"""Lottery tickets: the sparse sub-network that trains as well as the whole, found by pruning and rewinding.

Frankle & Carbin 2019 (arXiv 1803.03635): train, remove the smallest weights, put the others back to what they
were at the start, repeat. Frankle et al. 2020 (arXiv 1912.05671) put them back to what they were a little later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cs3g_model.compression.layout import Arrays, is_prunable
from cs3g_model.compression.reparametrized import make_student
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import CompressionError
from cs3g_model.inputs import ModelOutput
from cs3g_model.student import Student
from cs3g_model.teacher_runtime import single_thread
from cs3g_model.training.batch import Batch, Objective
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.loop import fit
from cs3g_model.training.options import OnProgress

__all__ = ["MaskedObjective", "Round", "Ticket", "find_ticket", "shrink_masks"]

Masks = dict[str, NDArray[np.bool_]]

_OUTPUT: Final = "outward.weight"
"""Pruned at half the rate, as in the paper."""


class MaskedObjective(Objective):
    """Another loss, under which removed weights stay 0.

    Parameters
    ----------
    other
        The loss.
    masks
        Name to bool array of the weights that are kept; other tensors are whole.
    remember_after
        Updates after which the model's tensors are kept in `early`; None for never.

    Attributes
    ----------
    early
        These tensors.
    """

    def __init__(self, other: Objective, masks: Masks, remember_after: int | None = None) -> None:
        self.other = other
        self.masks = {name: torch.tensor(mask) for name, mask in masks.items()}
        self.remember_after = remember_after
        self.updates = 0
        self.early: Arrays = {}

    def parameters(self) -> list[nn.Parameter]:
        """Return the other loss's."""
        return self.other.parameters()

    def __call__(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Return the other loss."""
        return self.other(output, batch)

    @torch.no_grad()
    def after_update(self, model: nn.Module) -> None:
        """Put removed weights back to 0; remember the rest when it is time."""
        self.other.after_update(model)
        for name, p in model.named_parameters():
            if name in self.masks:
                p.mul_(self.masks[name].to(p.device))
        self.updates += 1
        if self.updates == self.remember_after:
            self.early = _copied(model)


@dataclass(frozen=True, slots=True)
class Round:
    """One training of the search.

    Attributes
    ----------
    kept
        Share of the prunable weights that it trained.
    valid_rank_ic
        Best of its checks.
    """

    kept: float
    valid_rank_ic: float


@dataclass(frozen=True, slots=True)
class Ticket:
    """A sparse student.

    Attributes
    ----------
    masks
        Name to bool array of the weights that are kept.
    early
        The tensors to which the weights are rewound, whole.
    tensors
        After the last training, 0 where removed.
    rounds
        Each training, the dense one first.
    """

    masks: Masks
    early: Arrays
    tensors: Arrays
    rounds: list[Round]


def find_ticket(
    config: StudentConfig,
    data: LabeledSnapshots,
    settings: TrainConfig,
    *,
    rounds: int,
    share: float = 0.2,
    rewind: int = 0,
    objective: Callable[[], Objective] | None = None,
    progress: OnProgress | None = None,
) -> Ticket:
    """Search by iterative magnitude pruning.

    Every round is a whole fit, its learning rate warmed up anew.

    Parameters
    ----------
    config, data, settings
        As for `training.train`; the seed decides the first weights and every round's order of chunks.
    rounds
        Times that weights are removed (>= 1); the student is trained once more than that.
    share
        Of each tensor's remaining weights that a round removes, in (0, 1).
    rewind
        Updates after which the weights were what they are put back to; 0 for the first weights.
    objective
        Makes a round's loss; the labels' by default.
    progress
        Called after every update of every round.

    Raises
    ------
    CompressionError
        If a setting is out of range, or the fit ends before `rewind`.
    TrainingError
        If a loss is not finite.
    """
    if rounds < 1 or not 0 < share < 1 or rewind < 0:
        raise CompressionError(
            f"`rounds` (={rounds}) must be at least 1, `share` (={share}) in (0, 1), `rewind` (={rewind}) at least 0"
        )

    def labels() -> Objective:
        stop = data.train_stop
        return LabelObjective(data.labels[:stop], data.scored(0, stop), settings)

    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(settings.seed)
        model = Student(config)
        early = _copied(model)
        masks = {name: np.ones(array.shape, np.bool_) for name, array in early.items() if is_prunable(name)}
        told: list[Round] = []
        for round_ in range(rounds + 1):
            loss = MaskedObjective((objective or labels)(), masks, rewind if round_ == 0 else None)
            result = fit(model, data, settings, loss, progress)
            if round_ == 0 and rewind:
                if not loss.early:
                    raise CompressionError(
                        f"`rewind` (={rewind}) must be below the fit's {loss.updates} updates"
                    )
                early = loss.early
            told.append(Round(_share(masks), max(result.valid_rank_ics)))
            if round_ < rounds:
                masks = shrink_masks(result.tensors, masks, share)
                start = {name: early[name] * masks[name] if name in masks else early[name] for name in early}
                model = make_student(Student(config), start)
    return Ticket(masks, early, result.tensors, told)


def shrink_masks(tensors: Arrays, masks: Masks, share: float) -> Masks:
    """Remove the smallest of each tensor's remaining weights; half as many of the output layer's.

    Parameters
    ----------
    tensors
        The trained ones.
    masks
        So far.
    share
        Of the remaining weights, rounded to whole ones; at least one stays.
    """
    out = {}
    for name, mask in masks.items():
        left = int(mask.sum())
        count = min(round(left * (share / 2 if name == _OUTPUT else share)), left - 1)
        size = np.where(mask, np.abs(tensors[name]), np.inf).ravel()
        smaller = mask.copy()
        smaller.ravel()[np.argsort(size, kind="stable")[:count]] = False
        out[name] = smaller
    return out


def _share(masks: Masks) -> float:
    return sum(int(mask.sum()) for mask in masks.values()) / sum(mask.size for mask in masks.values())


def _copied(model: nn.Module) -> Arrays:
    return {name: p.detach().cpu().numpy().copy() for name, p in model.named_parameters()}
