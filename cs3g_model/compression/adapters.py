"""Bottleneck adapters: a frozen student learns another market through a few numbers.

AdapterGNN (Li et al. 2024, arXiv 2304.09595) puts two bottlenecks in parallel, one before and one after the
message passing, each with a learnable scale, and freezes the rest. So does this:

    inward' = inward + s_1 U_1 V_1,    hidden' = hidden + s_2 U_2 V_2,    U (out, rank), V (rank, in)

but the bottlenecks are linear, without AdapterGNN's activation and batch norm. A linear bottleneck beside a linear
layer is an update of its weights, of rank `rank` at most (as LoRA's, Hu et al. 2022, arXiv 2106.09685): what is
learned folds into the weights exactly, and the kernel serves the adapted student at no cost. It starts at U = 0, as
the student itself.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from cs3g_model.compression.layout import Arrays, canonical
from cs3g_model.compression.reparametrized import Reparametrized, make_student
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import CompressionError
from cs3g_model.student import Student
from cs3g_model.teacher_runtime import single_thread
from cs3g_model.training.batch import Objective
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.loop import fit
from cs3g_model.training.options import FitResult, OnProgress

__all__ = ["AdaptedStudent", "adapt"]

_AFTER: Final = "hidden.weight"


class Bottleneck(nn.Module):
    """s U V, (out, in), which is 0 at first."""

    def __init__(self, out: int, inputs: int, rank: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.zeros(out, rank))
        self.down = nn.Parameter(torch.empty(rank, inputs))
        self.scale = nn.Parameter(torch.ones(()))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self) -> Tensor:
        """Return the update of the weights."""
        return self.scale * (self.up @ self.down)


class AdaptedStudent(Reparametrized):
    """A frozen student with an adapter before and one after its mixing.

    Parameters
    ----------
    config, tensors
        The student; its input projection is folded (`layout.canonical`).
    rank
        Width of the bottlenecks, in [1, `config.width`].

    Raises
    ------
    CompressionError
        If the rank is out of range.
    """

    def __init__(self, config: StudentConfig, tensors: Arrays, rank: int) -> None:
        if not 1 <= rank <= config.width:
            raise CompressionError(f"`rank` (={rank}) must be in [1, {config.width}], the student's width")
        super().__init__(make_student(Student(config), canonical(config, tensors)).requires_grad_(False))
        before = "inward.bands.weight" if config.wavelet_levels else "inward.whole.weight"
        self.sites = {before: "before", _AFTER: "after"}
        self.adapters = nn.ModuleDict()
        for name, site in self.sites.items():
            out, inputs = self.student.get_parameter(name).shape
            self.adapters[site] = Bottleneck(out, inputs, rank)

    def effective(self) -> dict[str, Tensor]:
        """Return the student's tensors, the adapters folded in."""
        out: dict[str, Tensor] = dict(self.student.named_parameters())
        for name, site in self.sites.items():
            out[name] = out[name] + self.adapters[site]()
        return out


def adapt(
    config: StudentConfig,
    tensors: Arrays,
    data: LabeledSnapshots,
    settings: TrainConfig,
    rank: int,
    *,
    objective: Objective | None = None,
    progress: OnProgress | None = None,
) -> tuple[Arrays, FitResult]:
    """Fit adapters of a frozen student to a market.

    Parameters
    ----------
    config, tensors
        The student, as trained elsewhere; a quantized one by its numbers.
    data, settings
        The market, and the fit.
    rank
        Width of the bottlenecks.
    objective
        The loss; the labels' by default.
    progress
        Called after every update.

    Returns
    -------
    tuple[Arrays, FitResult]
        The adapted student's tensors in float32, the adapters folded in (quantize them anew if they are to be
        small), and the fit, whose tensors hold adapters and student apart.

    Raises
    ------
    CompressionError
        If the rank is out of range.
    TrainingError
        If a loss is not finite.
    """
    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(settings.seed)
        model = AdaptedStudent(config, tensors, rank)
        if objective is None:
            stop = data.train_stop
            objective = LabelObjective(data.labels[:stop], data.scored(0, stop), settings)
        result = fit(model, data, settings, objective, progress)
        model.load_state_dict({name: torch.tensor(array) for name, array in result.tensors.items()})
        return model.export(), result
