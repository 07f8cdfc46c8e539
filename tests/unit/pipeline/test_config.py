from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config import ENVIRONMENT_PREFIX, PipelineConfig, load_config
from pipeline.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in PipelineConfig.model_fields:
        monkeypatch.delenv(ENVIRONMENT_PREFIX + field.upper(), raising=False)


def test_defaults_load() -> None:
    config = load_config()
    assert (config.window_size_ns, config.tick_partitions, config.neighbors) == (10**9, 4, 8)
    assert (config.correlation_windows, config.correlation_stride) == (32, 8)
    assert (config.lead_neighbors, config.lead_windows, config.lead_stride) == (8, 128, 8)
    assert config.max_run_bytes == 512 * 1024


def test_the_environment_is_read_and_arguments_override_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CS3G_WINDOW_SIZE_NS", "1m")
    monkeypatch.setenv("CS3G_UNIVERSE", "us")
    config = load_config(universe="eu", neighbors=None)
    assert (config.window_size_ns, config.universe, config.neighbors) == (60 * 10**9, "eu", 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window_size_ns": "0"}, r"`window_size_ns` \(=0\) must be > 0"),
        ({"window_size_ns": "1 week"}, "`window_size_ns` .*a whole number of ns"),
        ({"window_size_ns": "200d"}, "`window_size_ns` .*less than or equal"),
        ({"allowed_lateness_ns": -1}, r"`allowed_lateness_ns` \(=-1\): .*greater than or equal to 0"),
        ({"tick_partitions": 0}, r"`tick_partitions` \(=0\)"),
        ({"correlation_windows": 1}, r"`correlation_windows` \(=1\)"),
        ({"lead_windows": 1}, r"`lead_windows` \(=1\)"),
        ({"lead_stride": 0}, r"`lead_stride` \(=0\)"),
        ({"bootstrap_servers": "nowhere"}, r"`bootstrap_servers` \(='nowhere'\)"),
        ({"universe": "../up"}, "`universe`"),
        ({"mode": "paper"}, r"`mode` \(='paper'\)"),
        ({"mode": "replay"}, r"`topic_prefix` \(=''\) must start with 'replay\.<run_id>\.'"),
        ({"topic_prefix": "replay.a."}, "must not in mode 'live'"),
        (
            {"mode": "replay", "topic_prefix": "replay.a.", "idle_timeout_ns": "1s"},
            "`idle_timeout_ns` must be 0",
        ),
        ({"neigbors": 3}, "`neigbors`"),
    ],
)
def test_a_broken_rule_names_setting_value_and_rule(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(**settings)
    assert "\n" not in str(caught.value)


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_config().universe = "other"


def test_the_hash_covers_what_changes_results_and_nothing_else() -> None:
    base = load_config().config_hash()
    assert len(base) == 16
    same = {"bootstrap_servers": "k:1", "run_id": "x", "max_run_bytes": 4096}
    assert load_config(**same).config_hash() == base
    for setting, value in {
        "universe": "other",
        "window_size_ns": 1,
        "allowed_lateness_ns": 1,
        "tick_partitions": 5,
        "neighbors": 4,
        "correlation_windows": 16,
        "correlation_stride": 4,
        "lead_neighbors": 4,
        "lead_windows": 64,
        "lead_stride": 4,
        "warm_windows": 16,
    }.items():
        assert load_config(**{setting: value}).config_hash() != base, setting


def test_topics_and_graph_settings_follow() -> None:
    config = load_config(
        mode="replay", topic_prefix="replay.a1.", universe="us", window_size_ns="5s", lead_neighbors=3,
        lead_windows=40, lead_stride=2,
    )  # fmt: skip
    graph = config.graph
    assert (graph.lead_neighbors, graph.lead_windows, graph.lead_stride, graph.ring_depth) == (3, 40, 2, 41)
    assert config.topics.ticks == "replay.a1.md.ticks.v1"
    assert (config.graph.universe, config.graph.size_ns, config.graph.neighbors) == ("us", 5 * 10**9, 8)
