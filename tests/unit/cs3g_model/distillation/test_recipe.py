"""Recipes: what they may say, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from cs3g_model.config import DistillConfig, StudentConfig
from cs3g_model.distillation.recipe import Recipe, parse_recipe, plain_recipe
from cs3g_model.distillation.registry import TERMS
from cs3g_model.errors import ConfigError

FULL = """
description = "all there is"
[keywords]
share = 0.1
agreeing = 2
[[stages]]
name = "mixing"
share = 0.2
learning_rate = 2e-3
losses = { mixing = 1 }
[[stages]]
name = "end_to-end"
[stages.losses]
labels = 0.3
soft = { weight = 0.7, temperature = 2.0 }
hint = 0.0
[assistant]
model = { width = 24, rank = 12 }
[[assistant.stages]]
name = "all"
losses = { soft = 1.0 }
"""


def test_a_recipe_is_read() -> None:
    recipe = parse_recipe(FULL, "full.toml")
    mixing, end = recipe.stages
    assert (mixing.share, mixing.learning_rate, end.share, end.learning_rate) == (0.2, 2e-3, 1.0, None)
    settings = end.settings()
    assert list(settings) == ["labels", "soft"]  # a weight of 0 switches a loss off
    assert (settings["soft"].weight, settings["soft"].temperature) == (0.7, 2.0)
    assert recipe.keywords.agreeing == 2
    student = StudentConfig(width=8, state_size=3)
    assert recipe.assistant is not None
    assert recipe.assistant.config(student) == StudentConfig(width=24, state_size=3, rank=12)
    # What a manifest keeps is enough to read it again.
    assert msgspec.convert(msgspec.to_builtins(recipe), Recipe) == recipe


def test_every_loss_has_a_default_for_all_but_its_weight() -> None:
    for name in TERMS:
        recipe = parse_recipe(f"[[stages]]\nname = 'a'\nlosses = {{ {name} = 2 }}", "x")
        assert recipe.stages[0].settings()[name].weight == 2


def stage(losses: str, extra: str = "") -> str:
    return f"[[stages]]\nname = 'a'\nlosses = {{ {losses} }}\n{extra}"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "stages"),
        ("stages = []", "at least one stage"),
        ("stages = [", "x.toml"),
        (stage("soft = -0.1"), "weight.*at least 0"),
        (stage("soft = nan"), "weight"),
        (stage("soft = inf"), "weight"),
        (stage("soft = true"), "x.toml"),
        (stage("soft = { weight = 1, temperature = 0 }"), "temperature.*above 0"),
        (stage("soft = { weigth = 1 }"), "weigth"),
        (stage("softness = 1"), "unknown loss 'softness': known are labels"),
        (stage("soft = 0"), "above 0"),
        (stage(""), "above 0"),
        (stage("local_structure = { kernel = 'sigmoid' }"), "sigmoid"),
        (stage("contrastive = { projection = 0 }"), "projection"),
        (stage("soft = 1", "share = 0"), "share"),
        (stage("soft = 1", "share = -1"), "share"),
        (stage("soft = 1", "learning_rate = 0"), "learning_rate"),
        (stage("soft = 1", "epochs = 3"), "epochs"),
        (stage("soft = 1") + stage("soft = 1"), "must differ"),
        ("[[stages]]\nname = '../a'\nlosses = { soft = 1 }", "name"),
        (stage("soft = 1") + "[keywords]\nshare = 0", "share"),
        (stage("soft = 1") + "[keywords]\nagreeing = 0", "agreeing"),
        (stage("soft = 1") + "[assistant]\nmodel = { width = 0 }", "width"),
        (stage("soft = 1") + "[assistant]\nmodel = { breadth = 3 }", "breadth"),
        (stage("soft = 1") + "[assistant]\n", "model"),
        ("shuffled_teacher = true\n" + stage("mixing = 1"), "shuffled_teacher"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        parse_recipe(text, "x.toml")
    assert "x.toml" in str(caught.value)


def test_the_plain_recipe_is_that_of_the_settings() -> None:
    (stage,) = plain_recipe(DistillConfig(alpha=0.6, temperature=2.0, hint=0.5)).stages
    settings = stage.settings()
    assert {name: found.weight for name, found in settings.items()} == {
        "labels": 0.4,
        "soft": 0.6,
        "hint": 0.5,
    }
    assert settings["soft"].temperature == 2.0
    assert set(plain_recipe(DistillConfig(alpha=1.0, hint=0.0)).stages[0].settings()) == {"soft"}
