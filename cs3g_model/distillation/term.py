"""What a term of a distillation loss is given, and what it owns."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from torch import Tensor, nn

from cs3g_model.config import StudentConfig
from cs3g_model.distillation.lessons import Keywords, Lesson
from cs3g_model.distillation.rows import Rows
from cs3g_model.errors import ConfigError
from cs3g_model.inputs import ModelOutput
from cs3g_model.training.batch import Batch
from cs3g_model.training.label_losses import LabelObjective

__all__ = ["Classroom", "Term", "TermSettings", "View", "check_positive"]


class TermSettings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a recipe says of a loss; each loss adds its own.

    Attributes
    ----------
    weight
        Factor of the loss in the sum (>= 0).
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self, "weight", or_zero=True)


def check_positive(settings: msgspec.Struct, *names: str, or_zero: bool = False) -> None:
    """Check that settings are finite and above 0, or not below it.

    Raises
    ------
    ConfigError
        If one is not.
    """
    for name in names:
        value = getattr(settings, name)
        if not (0 <= value < float("inf")) or (value == 0 and not or_zero):
            rule = "at least 0" if or_zero else "above 0"
            raise ConfigError(f"`{name}` (={value!r}) must be finite and {rule}")


@dataclass(frozen=True, slots=True)
class Classroom:
    """All that is fixed while a student is taught; terms take their sizes from it.

    Attributes
    ----------
    student
        The student's configuration.
    lesson
        What the teacher tells of the training windows.
    labels
        The loss of the labels, which holds them standardized as well.
    n_known_edges
        K of the snapshots: slots of all known relations together.
    """

    student: StudentConfig
    lesson: Lesson
    labels: LabelObjective
    n_known_edges: int


@dataclass(frozen=True, slots=True)
class View:
    """One update as a term sees it.

    Attributes
    ----------
    output
        What the student computed of the batch's windows.
    batch
        The windows, and what a further pass over them takes.
    told
        The lesson of these windows.
    """

    output: ModelOutput
    batch: Batch
    told: Lesson

    @property
    def mask(self) -> Tensor:
        """(T, N) bool: which instruments count."""
        return self.batch.mask

    def told_rows(self) -> Rows:
        """Return the teacher's graph, whose presence the term checked before training."""
        if self.told.rows is None:
            raise ConfigError("the lesson has no graph")
        return self.told.rows

    def told_keywords(self) -> Keywords:
        """Return the keywords, which the recipe's use of such a term brings about."""
        if self.told.keywords is None:
            raise ConfigError("the lesson has no keywords")
        return self.told.keywords


class Term(nn.Module):
    """A loss of a recipe, with the parameters that it trains along and throws away.

    Attributes
    ----------
    Settings
        What a recipe may say of it.
    wants_rows, wants_keywords
        What it asks of the lesson beyond scores and states.
    """

    Settings: ClassVar[type[TermSettings]] = TermSettings
    wants_rows: ClassVar[bool] = False
    wants_keywords: ClassVar[bool] = False

    def __init__(self, settings: Any, room: Classroom) -> None:
        """Make the term.

        Parameters
        ----------
        settings
            Of the class's own `Settings`.
        room
            What is taught, and to whom.

        Raises
        ------
        ConfigError
            If the student or the lesson lacks what the loss compares.
        """
        super().__init__()

    @abstractmethod
    def forward(self, view: View) -> Tensor:
        """Return the loss of an update, a scalar, not yet weighted."""
