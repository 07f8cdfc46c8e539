"""Which panels, recipes and seeds an ablation runs over."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from cs3g.recipe_files import read_recipe
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.errors import ConfigError

__all__ = ["Panel", "Plan", "read_panels", "short_name"]


class Panel(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A panel, its split, and the teacher that was trained on it.

    Attributes
    ----------
    name
        Names the report's files.
    teacher
        Model id or folder.
    data, relations, window, history
        As of `cs3g distill`.
    train_end, valid_end, test_end
        Last days of the parts, UTC; test_end is looked at only if the plan says so.
    """

    name: str
    teacher: str
    data: str
    train_end: date
    valid_end: date
    test_end: date | None = None
    relations: str | None = None
    window: str | None = None
    history: int = 16

    def __post_init__(self) -> None:
        if not self.name or short_name(self.name) != self.name:
            raise ConfigError(f"a panel's `name` (={self.name!r}) must be of letters, digits, - and _")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is trained for every panel.

    Attributes
    ----------
    recipes
        Names or files, the first of which the others are compared with.
    seeds
        One student each for every recipe.
    model, train
        Settings of all students; the seed is replaced.
    looks_at_test
        Whether the test part is scored.
    folder
        Where everything goes.
    """

    recipes: tuple[str, ...]
    seeds: tuple[int, ...]
    model: StudentConfig
    train: TrainConfig
    looks_at_test: bool
    folder: Path

    def check(self) -> None:
        """Check the plan before anything is trained.

        Raises
        ------
        ConfigError
            If a recipe or seed is named twice, or a recipe breaks a rule.
        """
        names = [short_name(recipe) for recipe in self.recipes]
        for what, values in (("recipe", names), ("seed", list(self.seeds))):
            if not values or len(set(values)) != len(values):
                raise ConfigError(f"there must be {what}s, each named once: {values}")
        for recipe in self.recipes:
            read_recipe(recipe)


def read_panels(path: Path) -> list[Panel]:
    """Read tables [[panels]] of a TOML file, each with the fields of `Panel`.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML, or a panel breaks a rule.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        panels = msgspec.convert(found.get("panels", []), list[Panel])
    except (OSError, ValueError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise ConfigError(f"{path}: {error}") from error
    names = [panel.name for panel in panels]
    if not panels or set(found) != {"panels"} or len(set(names)) != len(names):
        raise ConfigError(f"{path} must hold tables [[panels]] with different names, and nothing else")
    return panels


def short_name(text: str) -> str:
    """Return a name for files from that of a recipe or panel."""
    stem = Path(text).stem if text.endswith(".toml") else text
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in stem)
