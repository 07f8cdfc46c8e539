"""A windows agent that is killed anywhere and starts again at the first unacknowledged message."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.acks import AckLedger
from pipeline.barrier import WindowBarrier
from pipeline.windows import WindowAggregator
from tests.unit.pipeline.ticks import SECOND, SIZE, cut_at, tick_runs
from topics.runs import WINDOW_ROW_DTYPE, TickRun
from topics.types import RecordArray


class Killed(Exception):
    """The agent was killed; what it had sent stays."""


@dataclass
class Broker:
    """What outlives the agent: the committed offset, the dead letters, the windows that arrived."""

    messages: list[TickRun]
    committed: int = 0
    dead: dict[tuple[int, int], str] = field(default_factory=dict)
    barrier: WindowBarrier = field(default_factory=lambda: WindowBarrier(1, 0))
    rows: list[RecordArray] = field(default_factory=lambda: [np.empty(0, WINDOW_ROW_DTYPE)])

    def all_rows(self) -> RecordArray:
        return np.concatenate(self.rows)


def run_agent(broker: Broker, lateness_ns: int, end_ns: int, kill_after: int | None) -> None:
    """Process everything from the committed offset; stop dead after so many steps."""
    left = kill_after

    def step() -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                raise Killed

    windows, ledger = WindowAggregator("u", 0, SIZE, lateness_ns), AckLedger()
    for offset in range(broker.committed, len(broker.messages)):
        result = windows.fold(broker.messages[offset])
        ledger.add(offset, result.last_close_touched_ns)
        step()
        for position in result.late_positions:
            broker.dead[offset, int(position)] = "late"
        for position in result.invalid_positions:
            broker.dead[offset, int(position)] = "invalid"
        step()
        if result.closed is not None:
            broker.barrier.add(result.closed)
            broker.rows.append(broker.barrier.take())
        step()
        for ready in ledger.ready(windows.frontier_ns):
            broker.committed = ready + 1
    closed = windows.finish(end_ns)
    if closed is not None:
        broker.barrier.add(closed)
        broker.rows.append(broker.barrier.take())
    for ready in ledger.ready(windows.frontier_ns):
        broker.committed = ready + 1


@settings(max_examples=100, deadline=None)
@given(
    st.data(),
    tick_runs(max_ticks=25),
    st.integers(0, 30).map(lambda s: s * SECOND),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_no_kill_changes_windows_or_dead_letters(
    data: st.DataObject, run: TickRun, lateness_ns: int, kills: list[int]
) -> None:
    messages = cut_at(run, data.draw(st.lists(st.integers(0, 25), max_size=12)))
    times = run.records["ts_event"]
    end_ns = int(times[times < 2**63].max(initial=0))
    undisturbed, disturbed = Broker(messages), Broker(messages)
    run_agent(undisturbed, lateness_ns, end_ns, None)
    for kill_after in kills:
        try:
            run_agent(disturbed, lateness_ns, end_ns, kill_after)
        except Killed:
            continue
    run_agent(disturbed, lateness_ns, end_ns, None)
    assert disturbed.all_rows().tobytes() == undisturbed.all_rows().tobytes()
    assert disturbed.dead == undisturbed.dead
    assert disturbed.committed == undisturbed.committed == len(messages)
    beats = int(((run.records["instrument_id"] == 0) & (times < 2**63)).sum())
    folded = int(disturbed.all_rows()["n_ticks"].sum())
    assert len(run.records) == folded + len(disturbed.dead) + beats
