"""Terms on what a model predicts: scores, their order, and how sure it is."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from cs3g_model.distillation.gaussian import Gaussian, gaussian_kl, pair_cosine_loss, pair_distance_loss
from cs3g_model.distillation.nodes import sample_nodes, take_nodes
from cs3g_model.distillation.term import Classroom, Term, TermSettings, View, check_positive
from cs3g_model.errors import ConfigError
from cs3g_model.losses import ic_loss, listwise_loss

__all__ = ["GaussianTerm", "ICTerm", "LabelTerm", "SoftTerm"]


class LabelTerm(Term):
    """The loss of the labels, as `TrainConfig` weighs it: what training without a teacher minimizes."""

    def __init__(self, settings: TermSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.labels = room.labels

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        return self.labels(view.output, view.batch)


class ICSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `ICTerm`.

    Attributes
    ----------
    target
        What the scores should correlate with: the standardized labels, or the teacher's scores.
    """

    target: Literal["labels", "teacher"] = "teacher"


class ICTerm(Term):
    """One minus the correlation across instruments, `losses.ic_loss`."""

    Settings: ClassVar[type[TermSettings]] = ICSettings

    def __init__(self, settings: ICSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.targets = room.labels.targets if settings.target == "labels" else None

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        targets = view.told.scores
        if self.targets is not None:
            targets = self.targets[view.batch.start : view.batch.stop].to(view.mask.device)
        return ic_loss(view.output.scores, targets, view.mask)


class SoftSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `SoftTerm`.

    Attributes
    ----------
    temperature
        tau, where the teacher's scores have a standard deviation of 1. Low ones look at the best instruments
        only; high ones make it the squared error of centered scores.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "temperature")


class SoftTerm(Term):
    """Soft ranking targets, `losses.listwise_loss`: tau^2 KL(softmax(c t / tau) || softmax(c s / tau))."""

    Settings: ClassVar[type[TermSettings]] = SoftSettings

    def __init__(self, settings: SoftSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.temperature = settings.temperature

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        c = view.told.scale
        return listwise_loss(c * view.output.scores, c * view.told.scores, view.mask, self.temperature)


class GaussianSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `GaussianTerm`.

    Attributes
    ----------
    kl, distance, cosine
        Weights of the divergence, of pairwise distances and of pairwise cosines.
    max_nodes
        Instruments of a window whose pairs are compared, drawn anew for each update.
    """

    kl: float = 1.0
    distance: float = 0.0
    cosine: float = 0.0
    max_nodes: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "kl", "distance", "cosine", or_zero=True)
        check_positive(self, "max_nodes")


class GaussianTerm(Term):
    """DCKD of the predictive distributions: `gaussian.gaussian_kl` and the pairs' structure.

    A daily score is a small part of its own uncertainty: told as they are, all instruments' distributions would
    look alike. So means are first brought to the scale of the deviations, both models' by the same factor
    c * (mean sigma of the teacher): a standard deviation of the teacher's scores is then one sigma. The student
    has no dispersion head; one is trained along and thrown away.
    """

    Settings: ClassVar[type[TermSettings]] = GaussianSettings

    def __init__(self, settings: GaussianSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        told = room.lesson.log_dispersion
        if told is None:
            raise ConfigError("the loss 'gaussian' needs a teacher with a dispersion head")
        told = told[room.lesson.scores != 0]
        self.settings = settings
        self.sharpness = room.lesson.scale * float(torch.exp(told).mean())
        self.dispersion = nn.Linear(room.student.width, 1)
        nn.init.zeros_(self.dispersion.weight)
        nn.init.constant_(self.dispersion.bias, float(told.mean()))

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        c, mask = self.settings, view.mask
        if view.told.log_dispersion is None:
            raise ConfigError("the lesson has no dispersion")
        teacher = (self.sharpness * view.told.scores, view.told.log_dispersion)
        student = (self.sharpness * view.output.scores, self.dispersion(view.output.hidden).squeeze(-1))
        loss = c.kl * gaussian_kl(teacher, student, mask)
        if c.distance or c.cosine:
            index = sample_nodes(mask, c.max_nodes)
            few, teacher, student = take_nodes(mask, index), _take(teacher, index), _take(student, index)
            loss = loss + c.distance * pair_distance_loss(teacher, student, few)
            loss = loss + c.cosine * pair_cosine_loss(teacher, student, few)
        return loss


def _take(gaussian: Gaussian, index: Tensor) -> Gaussian:
    mean, log_sigma = gaussian
    return take_nodes(mean, index), take_nodes(log_sigma, index)
