"""The replay never overtakes a decision's swap, and always comes to its end."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3g.loop.gate import LoopGate

SIZE = 10


def close_of(window: int) -> int:
    return (window + 1) * SIZE


@given(
    gaps=st.lists(st.integers(0, 40), min_size=2, max_size=40),
    lag=st.integers(1, 5),
    triggers=st.sets(st.integers(0, 39), max_size=8),
    chunk=st.integers(1, 30),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_no_tick_overtakes_a_swap_and_the_replay_ends(
    gaps: list[int], lag: int, triggers: set[int], chunk: int, data: st.DataObject
) -> None:
    windows = np.cumsum(np.array(gaps) + 1)
    # A heartbeat in each window, and one in between where there is a gap.
    ticks = np.repeat(windows * SIZE, 4) + np.tile([0, 4, 9, 9], len(windows))
    is_tick = np.tile([True, True, True, False], len(windows))
    beats = (windows[1:][np.diff(windows) > 1] - 1) * SIZE
    place = np.searchsorted(ticks, beats)
    ticks, is_tick = np.insert(ticks, place, beats), np.insert(is_tick, place, False)
    gate = LoopGate(SIZE, lag)
    sent = decided = 0
    running: dict[str, int] = {}
    idle = 0
    while sent < len(ticks) or not gate.may_end():
        part = ticks[sent : (sent // chunk + 1) * chunk]
        count = gate.released(part, is_tick[sent : sent + len(part)]) if len(part) else 0
        sent += count
        # A pipeline: a window closes once a tick of a later one was sent, and its label is the next window's price.
        closed = max(0, len(np.unique(ticks[:sent][is_tick[:sent]] // SIZE)) - 1)
        last_closed = close_of(int(windows[closed - 1])) if closed else 0
        for since in running.values():
            assert last_closed <= since
        moved = count > 0
        if decided + 1 < closed and data.draw(st.booleans(), label="decides"):
            job = f"job-{decided}"
            since = close_of(int(windows[decided + 1])) + lag * SIZE
            assert last_closed <= since  # whatever is decided now, nothing after its swap was closed
            if decided in triggers:
                running[job] = since
                gate.requested(job, since)
            gate.decided(close_of(int(windows[decided])))
            decided += 1
            moved = True
        elif running:
            job = next(iter(running))
            assert gate.pending == set(running)
            gate.ended(job)
            del running[job]
            moved = True
        idle = 0 if moved else idle + 1
        assert idle < 200
    # The end closes the last window: nothing that is still undecided could be swapped in before it.
    assert not running
    assert decided >= len(windows) - 2


def test_a_wait_ends_when_something_moves() -> None:
    async def waits() -> None:
        gate = LoopGate(SIZE, 1)
        assert gate.released(np.array([5, 15, 25, 35, 45]), np.ones(5, np.bool_)) == 4
        waiting = asyncio.create_task(gate.wait())
        gate.decided(10)
        await asyncio.wait_for(waiting, 0.5)
        assert gate.released(np.array([45, 55]), np.ones(2, np.bool_)) == 1

    asyncio.run(waits())
