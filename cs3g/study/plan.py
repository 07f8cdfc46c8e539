"""What a study fits: its models by name, and the commands that make them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["ABLATIONS", "CONTROLS", "Study", "Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A model of the study that is fitted once a seed.

    Attributes
    ----------
    name
        In the report.
    role
        "teacher", "student" for a fit to labels, "distilled", or "compressed".
    model, train
        Settings that differ from the defaults, by table of the configuration file.
    """

    name: str
    role: str
    model: dict[str, object] = field(default_factory=dict)
    train: dict[str, object] = field(default_factory=dict)


TEACHER: Final = Variant("teacher", "teacher")
STUDENT: Final = Variant("student", "distilled")
COMPRESSED: Final = Variant("student, compressed", "compressed")
CONTROLS: Final = (
    Variant("teacher, no graph", "teacher", {"graph": False, "relations": []}),
    Variant("student, no distillation", "student"),
)
ABLATIONS: Final = (
    Variant("teacher, no wavelets", "teacher", {"wavelet_levels": 0}),
    Variant("teacher, no graph state", "teacher", {"graph_state_size": 0}),
    Variant("teacher, relations alone", "teacher", {"graph": False}),
    Variant("teacher, no relations", "teacher", {"relations": []}),
    Variant("teacher, small", "teacher", {"width": 16, "layers": 1, "state_size": 4, "rank": 4}),
)


@dataclass(frozen=True, slots=True)
class Study:
    """One panel, its split, and how much is fitted on it.

    Attributes
    ----------
    data, relations, window, history
        As in `cs3g train`.
    train_end, valid_end, test_end
        ISO dates, each the last of its part.
    out
        Folder of everything that the study writes.
    seeds
        Seeds of the teacher, the student and its compressed form.
    control_seeds
        Seeds of each control.
    recipe
        Of the distillation; None takes the default one.
    budget_bytes
        Of the compressed student's weights file; 0 for none.
    ablations
        Whether the teacher's parts are switched off one by one as well.
    price_limit
        Return at which an instrument cannot be traded, for the report's books; None for no limit.
    """

    data: str
    train_end: str
    valid_end: str
    test_end: str
    out: Path
    relations: Path | None = None
    window: str | None = None
    history: int = 16
    seeds: tuple[int, ...] = (0,)
    control_seeds: tuple[int, ...] = (0,)
    recipe: str | None = None
    budget_bytes: int = 4096
    ablations: bool = False
    price_limit: float | None = None

    def variants(self) -> list[tuple[Variant, int]]:
        """Return every fit as its variant and seed, those that others need first."""
        main = (TEACHER, STUDENT, *((COMPRESSED,) if self.budget_bytes else ()))
        fits = [(variant, seed) for variant in main for seed in self.seeds]
        controls = CONTROLS + (ABLATIONS if self.ablations else ())
        return fits + [(variant, seed) for variant in controls for seed in self.control_seeds]

    def panel_arguments(self) -> list[str]:
        """Return the options that name the data."""
        relations = [] if self.relations is None else ["--relations", str(self.relations)]
        window = [] if self.window is None else ["--window", self.window]
        return ["--data", self.data, *relations, *window]

    def split_arguments(self) -> list[str]:
        """Return the options that cut it and say who counts; the test part is left to the report."""
        ends = ["--train-end", self.train_end, "--valid-end", self.valid_end]
        return [*ends, "--history", str(self.history)]
