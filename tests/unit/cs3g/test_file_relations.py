"""Which relations a model is fitted to read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from cs3g.file_relations import reading_relations
from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.errors import ConfigError
from topics.runs import GraphRun

MADE = (("correlation", 8), ("lead", 8))


def run(*told: str) -> GraphRun:
    return cast(GraphRun, SimpleNamespace(relations=(*MADE, *((name, 4) for name in told))))


@pytest.mark.parametrize("config", [TeacherConfig(), StudentConfig()])
def test_every_relation_of_the_file_is_read_unless_settings_name_some(config: Any) -> None:
    usual = config.relations
    assert reading_relations(config, {}, run()) == config
    found = reading_relations(config, {"width": 8}, run("shareholder", "supply")).relations
    assert found == ("sector", "shareholder", "supply", "correlation", "lead")
    assert set(usual) < set(found)


def test_settings_that_name_relations_are_kept() -> None:
    for names in ((), ("lead",), ("sector", "supply")):
        model = TeacherConfig(relations=names)
        assert reading_relations(model, {"relations": list(names)}, run("shareholder", "supply")) == model


def test_a_relation_that_nobody_tells_is_refused() -> None:
    model = TeacherConfig(relations=("sector", "suply"))
    with pytest.raises(
        ConfigError, match=r"names suply, which .* known here are sector, correlation, lead, supply"
    ):
        reading_relations(model, {"relations": ["sector", "suply"]}, run("supply"))
