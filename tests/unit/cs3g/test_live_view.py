"""What a run shows: windows by the time they open, the extremes of the ranking, lines or a table."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from cs3g.live_view import LiveView, RoleProgress, extremes, window_name
from tests.unit.topics.factories import T0, make_predictions
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, Role


def view_of(*, terminal: bool) -> tuple[LiveView, io.StringIO, dict[Role, RoleProgress]]:
    out = io.StringIO()
    roles: dict[Role, RoleProgress] = {"student": RoleProgress(), "teacher": RoleProgress()}
    console = Console(file=out, force_terminal=terminal, width=140, color_system=None)
    return LiveView(console, roles), out, roles


def test_windows_are_named_by_their_start() -> None:
    assert window_name(None) == "-"
    assert window_name(make_predictions(0)) == "-"
    seconds = make_predictions(2)
    assert (seconds.ts_close[-1], seconds.size_ns) == (T0 + 2 * NANOS_PER_SECOND, NANOS_PER_SECOND)
    assert window_name(seconds) == "2023-11-14 22:13:21"
    close = np.array([19_000 * NANOS_PER_DAY])
    assert window_name(make_predictions(1, size_ns=NANOS_PER_DAY, ts_close=close)) == "2022-01-07"


def test_extremes_are_the_ranks_of_the_last_window_without_the_absent() -> None:
    mask = np.ones((2, 6), np.bool_)
    mask[1, 2] = False
    ranks = np.array([[1, 2, 3, 4, 5, 6], [3, 1, 0, 5, 2, 4]], np.int32)
    run = make_predictions(2, 6, mask=mask, ranks=ranks)
    assert extremes(run) == ("S1 S4", "S5 S3")
    assert extremes(None) == ("-", "-")
    alone = make_predictions(1, 1, mask=np.ones((1, 1), np.bool_), ranks=np.ones((1, 1), np.int32))
    assert extremes(alone) == ("S0", "S0")
    nobody = make_predictions(1, 2, mask=np.zeros((1, 2), np.bool_), ranks=np.zeros((1, 2), np.int32))
    assert extremes(nobody) == ("", "")


def test_progress_counts_windows_and_predictions() -> None:
    progress, run = RoleProgress(), make_predictions(3)
    progress.add(run, 12.5)
    progress.add(make_predictions(2), None)
    assert (progress.windows, progress.latencies_ms) == (5, [12.5])
    assert progress.predictions == int(run.mask.sum() + make_predictions(2).mask.sum())


def test_elsewhere_than_on_a_terminal_it_prints_a_line_now_and_then() -> None:
    view, out, roles = view_of(terminal=False)
    roles["student"].add(make_predictions(3), None)
    with view:
        view.status = "replayed 5 ticks"
        view.refresh()
        view.refresh()  # too early for another
    (line,) = out.getvalue().splitlines()
    assert line.startswith("replayed 5 ticks | student: 3 windows to 2023-11-14 22:13:22 (")
    assert "teacher: 0 windows to - (0/s)" in line


@pytest.mark.parametrize("n_windows", [0, 3])
def test_on_a_terminal_it_draws_a_table(n_windows: int) -> None:
    view, out, roles = view_of(terminal=True)
    if n_windows:
        roles["student"].add(make_predictions(n_windows), 1234.4)
    with view:
        view.status = "replayed [5] ticks"
    text = out.getvalue()
    for word in ("replayed [5] ticks", "student", "teacher", "latency p50", "highest"):
        assert word in text
    assert ("1,234 ms" in text) == bool(n_windows)
