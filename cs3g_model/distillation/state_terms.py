"""Terms on the hidden states: where they lie, how they lie to each other, and whose they are."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from cs3g_model.distillation.contrast import contrastive_loss
from cs3g_model.distillation.nodes import sample_nodes, standardize_states, take_nodes
from cs3g_model.distillation.rows import SparseRows
from cs3g_model.distillation.structure import Kernel, global_structure_loss, local_structure_loss
from cs3g_model.distillation.term import Classroom, Term, TermSettings, View, check_positive
from cs3g_model.errors import ConfigError
from cs3g_model.losses import hint_loss

__all__ = ["ContrastiveTerm", "GlobalTerm", "HintTerm", "LocalTerm"]


class HintSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `HintTerm`.

    Attributes
    ----------
    relative
        Divide by the mean square of the teacher's states, which makes the loss of no unit.
    """

    relative: bool = False


class HintTerm(Term):
    """A FitNets hint, `losses.hint_loss`: ||W z_s + b - z_t||^2 / E with a regressor W, b trained along."""

    Settings: ClassVar[type[TermSettings]] = HintSettings

    def __init__(self, settings: HintSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        hidden = room.lesson.hidden
        self.regressor = nn.Linear(room.student.width, hidden.shape[-1])
        self.scale = 1.0
        if settings.relative:
            present = hidden[room.lesson.scores != 0]
            self.scale = 1.0 / max(float(present.square().mean()), 1e-12)

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        return self.scale * hint_loss(self.regressor(view.output.hidden), view.told.hidden, view.mask)


class LocalSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `LocalTerm`.

    Attributes
    ----------
    edges
        Along which edges: the teacher's learned graph, the relations that the snapshots know, or "auto", the
        learned ones if there are any.
    kernel, temperature
        Of `structure.local_structure_loss`; the cosine is bounded, so that a low temperature gives it contrast.
    """

    edges: Literal["auto", "learned", "known"] = "auto"
    kernel: Kernel = "cosine"
    temperature: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "temperature")


class LocalTerm(Term):
    """Local structure, `structure.local_structure_loss`, of standardized states."""

    Settings: ClassVar[type[TermSettings]] = LocalSettings
    wants_rows: ClassVar[bool] = True

    def __init__(self, settings: LocalSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.settings = settings
        is_learned = isinstance(room.lesson.rows, SparseRows)
        self.uses_learned = settings.edges == "learned" or (settings.edges == "auto" and is_learned)
        if self.uses_learned and not is_learned:
            raise ConfigError(
                "the loss 'local_structure' with edges = 'learned' needs a teacher with a graph"
            )
        if not self.uses_learned and not room.n_known_edges:
            raise ConfigError("the loss 'local_structure' needs edges: a teacher with a graph, or relations")

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        present = view.batch.x.mask
        student = standardize_states(view.output.hidden, present)
        teacher = standardize_states(view.told.hidden, present)
        c = self.settings
        return local_structure_loss(
            student, teacher, self._edges(view), view.mask, kernel=c.kernel, temperature=c.temperature
        )

    def _edges(self, view: View) -> Tensor:
        if self.uses_learned:
            rows = view.told_rows()
            assert isinstance(rows, SparseRows)  # noqa: S101
            return rows.index
        neighbors = view.batch.x.neighbors
        sent = view.batch.x.mask.gather(1, neighbors.clamp_min(0).flatten(1)).view_as(neighbors)
        return torch.where(sent, neighbors, -1)


class GlobalSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `GlobalTerm`.

    Attributes
    ----------
    kernel
        Of `structure.global_structure_loss`.
    max_nodes
        Instruments of a window that are compared, drawn anew for each update.
    """

    kernel: Kernel = "cosine"
    max_nodes: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "max_nodes")


class GlobalTerm(Term):
    """Global similarity, `structure.global_structure_loss`, of standardized states."""

    Settings: ClassVar[type[TermSettings]] = GlobalSettings

    def __init__(self, settings: GlobalSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.settings = settings

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        student = standardize_states(view.output.hidden, view.mask)
        teacher = standardize_states(view.told.hidden, view.mask)
        index = sample_nodes(view.mask, self.settings.max_nodes)
        return global_structure_loss(
            take_nodes(student, index),
            take_nodes(teacher, index),
            take_nodes(view.mask, index),
            kernel=self.settings.kernel,
        )


class ContrastiveSettings(TermSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of `ContrastiveTerm`.

    Attributes
    ----------
    temperature
        tau of `contrast.contrastive_loss`.
    projection
        P, the width in which the states meet.
    max_nodes
        Instruments of a window that are told apart, drawn anew for each update.
    """

    temperature: float = 0.07
    projection: int = 16
    max_nodes: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "temperature", "projection", "max_nodes")


class ContrastiveTerm(Term):
    """Contrast, `contrast.contrastive_loss`, of standardized states after learned projections of both."""

    Settings: ClassVar[type[TermSettings]] = ContrastiveSettings

    def __init__(self, settings: ContrastiveSettings, room: Classroom) -> None:
        super().__init__(settings, room)
        self.settings = settings
        self.student = nn.Linear(room.student.width, settings.projection)
        self.teacher = nn.Linear(room.lesson.hidden.shape[-1], settings.projection)

    def forward(self, view: View) -> Tensor:
        """Return the loss of an update."""
        index = sample_nodes(view.mask, self.settings.max_nodes)
        student = standardize_states(view.output.hidden, view.mask)
        teacher = standardize_states(view.told.hidden, view.mask)
        return contrastive_loss(
            self.student(take_nodes(student, index)),
            self.teacher(take_nodes(teacher, index)),
            take_nodes(view.mask, index),
            self.settings.temperature,
        )
