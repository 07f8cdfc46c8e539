"""What an ablation may be asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from benchmarks.ablations.settings import Panel, Plan, read_panels, short_name
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.errors import ConfigError

PLAN = Plan(("plain", "hint"), (0, 1), StudentConfig(), TrainConfig(), False, Path("out"))

ONE = """
[[panels]]
name = "sp500"
teacher = "teacher"
data = "panel.parquet"
train_end = 2017-12-31
valid_end = 2018-12-31
"""


def test_panels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "panels.toml"
    path.write_text(ONE + ONE.replace("sp500", "etf") + 'window = "1m"\ntest_end = 2021-04-30\n')
    first, second = read_panels(path)
    assert first == Panel(
        name="sp500",
        teacher="teacher",
        data="panel.parquet",
        train_end=date(2017, 12, 31),
        valid_end=date(2018, 12, 31),
    )
    assert (second.name, second.window, second.test_end) == ("etf", "1m", date(2021, 4, 30))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "must hold"),
        (ONE + ONE, "different names"),
        ("other = 1\n" + ONE, "nothing else"),
        (ONE + "seed = 1", "seed"),
        (ONE.replace("sp500", "../sp500"), "name"),
        (ONE.replace('data = "panel.parquet"', ""), "data"),
        ("[[panels", r"panels\.toml"),
    ],
)
def test_bad_panels_are_refused(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "panels.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match):
        read_panels(path)


def test_a_plan_names_each_recipe_and_seed_once(tmp_path: Path) -> None:
    PLAN.check()
    with pytest.raises(ConfigError, match="recipe"):
        replace(PLAN, recipes=("plain", "plain")).check()
    # Files of one name would write over each other.
    with pytest.raises(ConfigError, match="recipe"):
        replace(PLAN, recipes=("plain", str(tmp_path / "plain.toml"))).check()
    with pytest.raises(ConfigError, match="seed"):
        replace(PLAN, seeds=(1, 1)).check()
    with pytest.raises(ConfigError, match="defualt"):
        replace(PLAN, recipes=("defualt",)).check()


def test_names_are_fit_for_files() -> None:
    assert short_name("some/where/my own.toml") == "my-own"
    assert short_name("local-structure") == "local-structure"
