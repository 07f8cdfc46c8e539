"""Terms on the learned graphs: the teacher's rows and those of the student's low-rank graph."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from cs3g_model.distillation.graphs import attention_transfer_loss, mixing_loss
from cs3g_model.distillation.rows import LowRankRows
from cs3g_model.distillation.term import Classroom, Term, TermSettings, View
from cs3g_model.errors import ConfigError

__all__ = ["AttentionTerm", "MixingTerm"]


class RowSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of terms on rows.

    Attributes
    ----------
    centered
        Take the mean over the instruments out of each row first: the models mix centered values, to which it
        adds nothing.
    """

    centered: bool = True


class RowTerm(Term):
    """What the terms on rows share."""

    Settings: ClassVar[type[TermSettings]] = RowSettings
    wants_rows: ClassVar[bool] = True

    def __init__(self, settings: RowSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.centered = settings.centered
        if room.lesson.rows is None:
            raise ConfigError("losses on graph rows ('mixing', 'attention') need a teacher with a graph")
        if not room.student.graph:
            raise ConfigError(
                "losses on graph rows ('mixing', 'attention') need a student with `graph = true`"
            )

    def rows(self, view: View) -> LowRankRows:
        """Return the student's."""
        if view.output.graph_rows is None:
            raise ConfigError("the student's output has no graph rows")
        return LowRankRows(*view.output.graph_rows)


class AttentionTerm(RowTerm):
    """Attention transfer, `graphs.attention_transfer_loss`: the direction of each row."""

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        return attention_transfer_loss(
            view.told_rows(), self.rows(view), view.mask, view.batch.x.mask, centered=self.centered
        )


class MixingTerm(RowTerm):
    """MOHAWK's matrix orientation, `graphs.mixing_loss`: the mixing matrix as a whole."""

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        return mixing_loss(
            view.told_rows(), self.rows(view), view.mask, view.batch.x.mask, centered=self.centered
        )
