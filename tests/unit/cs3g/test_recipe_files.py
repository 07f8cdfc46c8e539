"""The recipes that come with the package, and recipes from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cs3g.recipe_files import read_recipe, recipe_names
from cs3g_model.config import DistillConfig, StudentConfig, TrainConfig
from cs3g_model.distillation.recipe import plain_recipe
from cs3g_model.distillation.registry import TERMS
from cs3g_model.distillation.stages import distill
from cs3g_model.errors import ConfigError
from tests.unit.cs3g_model.distillation.lessons import TEACHER, market, teacher_tensors


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


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_lowers_the_loss_of_each_of_its_stages(name: str) -> None:
    recipe = read_recipe(name)
    epochs = 8 if len(recipe.stages) == 1 else 40  # a stage's share of few updates is noise
    settings = TrainConfig(epochs=epochs, chunk=10, learning_rate=1e-2, average=0.8, checks=1)
    student = StudentConfig(width=6, state_size=2, rank=3)
    found = distill(TEACHER, teacher_tensors(), student, market(T=50, N=12), recipe, settings)
    assistants = [("assistant", stage) for stage in recipe.stages] if recipe.assistant else []
    expected = [*assistants, *(("student", stage) for stage in recipe.stages)]
    for report, (learner, stage) in zip(found.stages, expected, strict=True):
        assert (report.learner, report.name) == (learner, stage.name)
        weights = {loss: s.weight for loss, s in stage.settings().items()}
        begin, end = (sum(weights[n] * v[i] for n, v in report.losses.items()) for i in (0, 1))
        assert end < begin, (report.name, report.losses)
    assert all(np.isfinite(tensor).all() for tensor in found.tensors.values())
