"""Recipes of distillation by name, as they come with the package, or by file."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from cs3g_model.distillation.recipe import Recipe, parse_recipe
from cs3g_model.errors import ConfigError


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    folder = files("cs3g") / "recipes"
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".toml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name
        One of `recipe_names`, or the path of a TOML file: what holds a separator or ends in .toml is a path.

    Raises
    ------
    ConfigError
        If there is none, or it breaks a rule.
    """
    if name.endswith(".toml") or os.sep in name:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"recipe {name}: {error}") from error
        return parse_recipe(text, name)
    if name not in recipe_names():
        raise ConfigError(
            f"no recipe is called {name!r}: give a TOML file or one of {', '.join(recipe_names())}"
        )
    return parse_recipe((files("cs3g") / "recipes" / f"{name}.toml").read_text(encoding="utf-8"), name)
