"""The rims of the package: the Kafka sink's refusals, the progress bar, and the tree of errors."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from replay import errors
from replay.kafka_sink import KafkaSink
from replay.progress import ReplayProgress
from replay.report import Progress
from tests.unit.replay.factories import T0
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


def show(console: Console) -> None:
    with ReplayProgress(console) as progress:
        progress.update(Progress(stage="check", ticks=1234, ts_event=T0, fraction=None))
        progress.update(Progress(stage="replay", ticks=2345, ts_event=T0, fraction=0.25))
        progress.update(Progress(stage="replay", ticks=5678, ts_event=T0, fraction=0.5))


def test_progress_shows_event_time_count_and_share_on_a_terminal() -> None:
    out = io.StringIO()
    show(Console(file=out, force_terminal=True, width=120))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "50%" in plain
    assert "2013-10-07 13:30:00 UTC" in plain
    assert "5,678 ticks" in plain


def test_progress_is_silent_elsewhere() -> None:
    out = io.StringIO()
    show(Console(file=out, force_terminal=False))
    assert out.getvalue().strip() == ""


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
