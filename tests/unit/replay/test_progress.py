"""What the bars show on a terminal, and that they are silent elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from replay.archive.progress import RecordProgress
from replay.archive.record import Recorded
from replay.progress import ReplayProgress
from replay.report import Progress
from tests.unit.replay.factories import T0


def replays(console: Console) -> None:
    with ReplayProgress(console) as progress:
        progress.update(Progress(stage="check", ticks=1234, ts_event=T0, fraction=None))
        progress.update(Progress(stage="replay", ticks=2345, ts_event=T0, fraction=0.25))
        progress.update(Progress(stage="replay", ticks=5678, ts_event=T0, fraction=0.5))


def records(console: Console) -> None:
    with RecordProgress(console) as progress:
        progress.update(Recorded(messages=0, rows=0, unreadable=0, left=4000))
        progress.update(Recorded(messages=1000, rows=77_000, unreadable=0, left=3000))


@pytest.mark.parametrize(
    ("show", "words"),
    [
        (replays, ["50%", "2013-10-07 13:30:00 UTC", "5,678 ticks"]),
        (records, ["archive", "25%", "1,000 messages, 77,000 rows written"]),
    ],
)
def test_a_terminal_sees_how_far_it_is(show: Callable[[Console], None], words: list[str]) -> None:
    out = io.StringIO()
    show(Console(file=out, force_terminal=True, width=120))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert [word for word in words if word not in plain] == []


@pytest.mark.parametrize("show", [replays, records])
def test_a_file_sees_nothing(show: Callable[[Console], None]) -> None:
    out = io.StringIO()
    show(Console(file=out, force_terminal=False))
    assert out.getvalue().strip() == ""
