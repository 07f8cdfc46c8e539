"""Recipes: which losses teach a student, with which weights, in which stages; read from TOML.

description = "..."

[[stages]]
name = "end to end"
share = 0.7                # of the updates, relative to the other stages' shares
learning_rate = 1e-3       # the training settings' own without it

[stages.losses]            # name = weight, or a table of settings with the weight among them
labels = 0.3
soft = { weight = 0.7, temperature = 1.0 }

[keywords]                 # for distinguishing, decoupling and aligning
share = 0.25

[assistant]                # a larger student between teacher and student
model = { width = 24, rank = 16 }

[training]                 # fields of `TrainConfig` but the seed; a command's own settings come before them
epochs = 2

[compression]              # a job makes the student as small as the one that serves
quantize_epochs = 0
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

import msgspec

from cs3g_model.config import DistillConfig, StudentConfig, TrainConfig
from cs3g_model.distillation.registry import TERMS, read_losses
from cs3g_model.distillation.term import TermSettings, check_positive
from cs3g_model.errors import ConfigError

__all__ = ["Assistant", "Compression", "KeywordSettings", "Recipe", "Stage", "parse_recipe", "plain_recipe"]


class Stage(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A part of a distillation with losses of its own.

    Attributes
    ----------
    name
        For progress and reports.
    losses
        Name to weight, or to a table of the loss's settings; see `registry.TERMS`.
    share
        Of the updates, relative to the other stages' shares (> 0).
    learning_rate
        Highest of the stage; None for the training settings'.
    """

    name: str
    losses: dict[str, float | dict[str, Any]]
    share: float = 1.0
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"a stage's `name` (={self.name!r}) must be of letters, digits, - and _")
        check_positive(self, "share")
        if self.learning_rate is not None:
            check_positive(self, "learning_rate")
        self.settings()

    def settings(self) -> dict[str, TermSettings]:
        """Return the losses as validated settings, by name; those of weight 0 are left out."""
        return {name: found for name, found in read_losses(self.losses).items() if found.weight}


class KeywordSettings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What counts as a keyword; see `explanations.keyword_mask`.

    Attributes
    ----------
    share
        q, the prominent share of a window's entries, in (0, 1].
    agreeing
        Teachers that must agree where several explain; None for all.
    """

    share: float = 0.25
    agreeing: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"`share` (={self.share!r}) of the keywords must be in (0, 1]")
        if self.agreeing is not None and self.agreeing < 1:
            raise ConfigError(f"`agreeing` (={self.agreeing!r}) must be at least 1")


class Assistant(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A larger student that the teacher teaches first and that then teaches the student.

    Mirzadeh et al. 2020 (arXiv 1902.03393).

    Attributes
    ----------
    model
        Fields of `StudentConfig` in which it differs from the student.
    stages
        How it is taught; empty for the recipe's own stages.
    """

    model: dict[str, Any]
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        msgspec.convert(self.model, StudentConfig)

    def config(self, student: StudentConfig) -> StudentConfig:
        """Return the assistant's configuration beside a student's."""
        return msgspec.convert(msgspec.to_builtins(student) | self.model, StudentConfig)


class Compression(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a job compresses the student that it has distilled.

    Attributes
    ----------
    quantize_epochs
        Most passes on rounded weights (>= 0); 0 rounds without training.
    """

    quantize_epochs: int = 0

    def __post_init__(self) -> None:
        if self.quantize_epochs < 0:
            raise ConfigError(f"`quantize_epochs` (={self.quantize_epochs!r}) must be at least 0")


class Recipe(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a student is taught.

    Attributes
    ----------
    description
        One line for lists of recipes.
    stages
        In their order; at least one.
    keywords
        Of the explanation losses.
    assistant
        None teaches the student by the teacher itself.
    shuffled_teacher
        Control: permute the teacher's knowledge among the instruments of each window.
    training
        Fields of `TrainConfig` that differ from its defaults; the seed is never the recipe's.
    compression
        Of a job's student, after the distillation; left out for none.
    """

    stages: tuple[Stage, ...]
    description: str = ""
    keywords: KeywordSettings = KeywordSettings()
    assistant: Assistant | None = None
    shuffled_teacher: bool = False
    # Unset, not empty: a recipe without them must encode as before they were known, or checkpoints would not fit.
    training: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    compression: Compression | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("a recipe must have at least one stage: [[stages]]")
        if "seed" in self.training_changes():
            raise ConfigError("`seed` of [training] is not the recipe's: it is an option of the command")
        msgspec.convert(self.training_changes(), TrainConfig)
        for stages in (self.stages, self.assistant.stages if self.assistant else ()):
            names = [stage.name for stage in stages]
            if len(set(names)) != len(names):
                raise ConfigError(f"the stages' names {names} must differ")
        if self.shuffled_teacher and (wants(self.stages, "rows") or wants(self.stages, "keywords")):
            raise ConfigError("`shuffled_teacher` is for losses of scores and states only")

    def training_changes(self) -> dict[str, Any]:
        """Return the fields of `TrainConfig` that the recipe changes, by name."""
        return {} if isinstance(self.training, msgspec.UnsetType) else dict(self.training)


def wants(stages: Sequence[Stage], what: str) -> bool:
    """Whether a loss of the stages asks for the lesson's "rows" or "keywords"."""
    return any(getattr(TERMS[name], f"wants_{what}") for stage in stages for name in stage.settings())


def parse_recipe(text: str, source: str) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    text
        TOML.
    source
        Its name, for errors.

    Raises
    ------
    ConfigError
        If it is no TOML, names what is unknown, or breaks a rule.
    """
    try:
        return msgspec.convert(tomllib.loads(text), Recipe)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"recipe {source}: {error}") from error


def plain_recipe(settings: DistillConfig) -> Recipe:
    """Return the recipe of one stage that `DistillConfig` describes."""
    losses: dict[str, float | dict[str, Any]] = {
        "labels": 1.0 - settings.alpha,
        "soft": {"weight": settings.alpha, "temperature": settings.temperature},
        "hint": settings.hint,
    }
    return Recipe(description="labels, soft targets and a hint", stages=(Stage(name="all", losses=losses),))
