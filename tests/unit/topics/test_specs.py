"""Topic specs, names and the rule that keeps replays off live topics."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from topics.admin import EMBEDDED_RETENTION_BYTES, topic_settings
from topics.errors import LiveTopicRefused, SchemaError
from topics.specs import SPECS, is_replay_name, replay_prefix, require_replay_prefix, topic_names


def test_names_carry_the_prefix_and_are_all_different() -> None:
    live, replay = asdict(topic_names()), asdict(topic_names("replay.r1."))
    assert live["ticks"] == "md.ticks.v1"
    assert {name: "replay.r1." + topic for name, topic in live.items()} == replay
    assert len(set(live.values())) == len(SPECS) == 12


@pytest.mark.parametrize("prefix", ["replay.r1", "re play.", ".", "a..", "/", "é."])
def test_a_malformed_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(SchemaError, match="`prefix`"):
        topic_names(prefix)


@pytest.mark.parametrize("run_id", ["", "a.b", "a b", "-a", "x" * 65, "a/b", "a\n"])
def test_a_run_id_that_makes_no_topic_name_is_refused(run_id: str) -> None:
    with pytest.raises(SchemaError, match="`run_id`"):
        replay_prefix(run_id)


@pytest.mark.parametrize(
    "name", ["", "md.ticks.v1", "replay.", "replay.md", "xreplay.r1.md.ticks.v1", "paper."]
)
def test_live_names_are_refused_to_replays(name: str) -> None:
    assert not is_replay_name(name)
    with pytest.raises(LiveTopicRefused, match="may not write to"):
        require_replay_prefix(name)


def test_a_replays_own_names_pass() -> None:
    prefix = replay_prefix("2024-01-02_a")
    require_replay_prefix(prefix)
    require_replay_prefix(topic_names(prefix).ticks)
    assert is_replay_name(prefix)


def test_live_topics_age_and_replays_never_do() -> None:
    spec = SPECS["ticks"]
    assert topic_settings(spec, "md.ticks.v1", embedded=False)["retention.ms"] == str(7 * 86_400_000)
    assert topic_settings(spec, "replay.a.md.ticks.v1", embedded=False)["retention.ms"] == "-1"


@pytest.mark.parametrize("attribute", SPECS)
def test_the_embedded_broker_bounds_what_it_keeps_but_for_compacted_topics(attribute: str) -> None:
    spec = SPECS[attribute]
    settings = topic_settings(spec, spec.name, embedded=True)
    expected = None if spec.cleanup == "compact" else str(EMBEDDED_RETENTION_BYTES)
    assert settings.get("retention.bytes") == expected
    assert settings["cleanup.policy"] == spec.cleanup
    assert "retention.bytes" not in topic_settings(spec, spec.name, embedded=False)
