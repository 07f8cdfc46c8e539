"""The rims of the package: the Kafka sink's refusals and the tree of errors."""

from __future__ import annotations

import re

import pytest

from replay import errors
from replay.kafka_sink import KafkaSink
from topics.errors import BrokerUnavailable, LiveTopicRefused


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"allow_live": True},
        {"confirm_live_topic": "md.ticks.v1"},
        {"allow_live": True, "confirm_live_topic": ""},
        {"allow_live": True, "confirm_live_topic": "replay.r1.md.ticks.v1"},
    ],
)
def test_live_topics_need_to_be_meant_twice(said: dict[str, object]) -> None:
    with pytest.raises(
        LiveTopicRefused, match=r"live topic 'md\.ticks\.v1'; .* --confirm-live-topic md\.ticks\.v1"
    ):
        KafkaSink("127.0.0.1:9092", prefix="", partitions=1, **said)


def test_live_topics_may_be_meant() -> None:
    KafkaSink("127.0.0.1:9092", prefix="", partitions=1, allow_live=True, confirm_live_topic="md.ticks.v1")
    KafkaSink("127.0.0.1:9092", prefix="replay.r1.", partitions=1)


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(BrokerUnavailable, match="must be host:port"):
        KafkaSink("localhost", prefix="replay.r1.", partitions=1)


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = dict(
        re.findall(r"^[│├└─ ]*([A-Z]\w+)(?: \((\w+)\))?(?:  |$)", errors.__doc__ or "", re.MULTILINE)
    )
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert drawn.keys() == classes.keys()
    for name, builtin in drawn.items():
        assert issubclass(classes[name], errors.ReplayError)
        assert not builtin or builtin in {base.__name__ for base in classes[name].__mro__}
