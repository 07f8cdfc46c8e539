"""Terms of explanation-based bias decoupling; see `explanations` and `decoupling`."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from cs3g_model.distillation.decoupling import (
    aligning_loss,
    decoupling_loss,
    distinguishing_loss,
    uninformative_loss,
)
from cs3g_model.distillation.explanations import attributions, sensitivities
from cs3g_model.distillation.term import Classroom, Term, TermSettings, View, check_positive

__all__ = ["AligningTerm", "DecouplingTerm", "DistinguishingTerm"]


class DistinguishingTerm(Term):
    """Keywords told from bias by a head on the student's states, `decoupling.distinguishing_loss`."""

    wants_keywords: ClassVar[bool] = True

    def __init__(self, settings: TermSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.head = nn.Linear(room.student.width, room.student.n_features)

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        return distinguishing_loss(self.head(view.output.hidden), view.told_keywords().mask, view.mask)


class DecouplingSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `DecouplingTerm`.

    Attributes
    ----------
    floor
        Of `decoupling.decoupling_loss`, as a share of the teacher's mean |attribution|.
    """

    floor: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "floor", or_zero=True)


class DecouplingTerm(Term):
    """Attribution kept on the keywords, `decoupling.decoupling_loss`; a second pass and double backward."""

    Settings: ClassVar[type[TermSettings]] = DecouplingSettings
    wants_keywords: ClassVar[bool] = True

    def __init__(self, settings: DecouplingSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.floor = settings.floor

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        batch, keywords = view.batch, view.told_keywords()
        sensitivity = sensitivities(batch.model, batch.x, batch.state, create_graph=True)
        attribution = attributions(batch.x.features, sensitivity)
        return decoupling_loss(attribution, keywords.mask, view.mask, self.floor * keywords.size)


class AligningSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `AligningTerm`.

    Attributes
    ----------
    keywords, bias
        Weights of what the keywords alone should tell, and of what the bias alone should not.
    temperature
        As of the soft targets.
    """

    keywords: float = 1.0
    bias: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "keywords", "bias", or_zero=True)
        check_positive(self, "temperature")


class AligningTerm(Term):
    """Keywords suffice and bias tells nothing: `decoupling.aligning_loss`, `uninformative_loss`; two more passes."""

    Settings: ClassVar[type[TermSettings]] = AligningSettings
    wants_keywords: ClassVar[bool] = True

    def __init__(self, settings: AligningSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.settings = settings

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        s, c, told = self.settings, view.told.scale, view.told
        mask = view.told_keywords().mask
        loss = view.output.scores.new_zeros(())
        if s.keywords:
            scores = c * self._scores(view, mask)
            loss = loss + s.keywords * aligning_loss(scores, c * told.scores, view.mask, s.temperature)
        if s.bias:
            loss = loss + s.bias * uninformative_loss(c * self._scores(view, ~mask), view.mask)
        return loss

    def _scores(self, view: View, kept: Tensor) -> Tensor:
        x = view.batch.x
        output, _ = view.batch.model(
            replace(x, features=torch.where(kept, x.features, 0.0)), view.batch.state
        )
        scores: Tensor = output.scores
        return scores
