"""The recipes that come with the package, and recipes from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cs3g.recipe_files import read_recipe, recipe_names
from cs3g_model.config import DistillConfig
from cs3g_model.distillation.recipe import plain_recipe
from cs3g_model.distillation.registry import TERMS
from cs3g_model.errors import ConfigError


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.description
    if recipe.assistant is not None:
        assert recipe.assistant.model["width"] > 16


def test_every_loss_is_in_a_shipped_recipe() -> None:
    used = {
        loss for name in recipe_names() for stage in read_recipe(name).stages for loss in stage.settings()
    }
    assert used == set(TERMS)


def test_the_default_is_what_the_settings_default_to() -> None:
    shipped, settings = read_recipe("default"), plain_recipe(DistillConfig())
    found, expected = (recipe.stages[0].settings() for recipe in (shipped, settings))
    assert list(found) == list(expected)
    for name, loss in expected.items():
        assert found[name].weight == pytest.approx(loss.weight)
    assert len(shipped.stages) == 1
    assert shipped.assistant is None


def test_an_ingredient_differs_from_plain_by_itself_alone() -> None:
    plain = read_recipe("plain").stages[0].settings()
    for name in set(TERMS) - {"labels", "soft"}:
        settings = read_recipe(name.replace("_", "-")).stages[0].settings()
        assert settings == plain | {name: settings[name]}


def test_a_recipe_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[[stages]]\nname = 'all'\nlosses = { soft = 1 }\n")
    assert list(read_recipe(str(path)).stages[0].settings()) == ["soft"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"own\.toml"):
        read_recipe(str(path))
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        read_recipe(str(tmp_path / "nowhere.toml"))


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'defualt'.*aligning, .*default"):
        read_recipe("defualt")
