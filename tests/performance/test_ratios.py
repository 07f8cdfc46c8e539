"""Ratios of times within one process, the best of several in turns: what grows with what, on any machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.step.models import ASKED, run, student
from cs3g_model.protocol import StreamingModel
from pipeline.lead_lag import begin_leaders, find_leaders
from pipeline.lead_lag_sums import leader_workspace

ROUNDS = 15


def best_s(*works: Callable[[], object]) -> list[float]:
    """The shortest time of each, in turns, so that a busy machine slows all."""
    found = [float("inf")] * len(works)
    for work in works:
        work()  # compiles
    for _ in range(ROUNDS):
        for place, work in enumerate(works):
            started = time.perf_counter()
            work()
            found[place] = min(found[place], time.perf_counter() - started)
    return found


def steps(model: StreamingModel, instruments: int, windows: int) -> Callable[[], object]:
    snapshots = run(windows, instruments, ASKED.n_features, neighbors=False)
    state = model.initial_state(instruments)
    return lambda: model.step_many(snapshots, state)


def test_a_step_is_linear_in_the_instruments_and_cheaper_in_a_run() -> None:
    model, _ = student(ASKED)
    few, many, of_a_run = best_s(steps(model, 500, 1), steps(model, 5000, 1), steps(model, 500, 64))
    assert many < 20 * few  # 8 to 10 on the day of this test
    assert of_a_run / 64 < 1.5 * few


def test_a_prepared_look_back_leaves_little_to_do_behind_the_last_tick() -> None:
    rng = np.random.default_rng(0)
    windows, n, seq = 128, 400, 300
    ring = rng.normal(size=(windows + 1, n)).astype(np.float32)
    ring[rng.random(ring.shape) < 0.02] = np.nan
    turn = np.arange(0, n, 8, dtype=np.int32)
    neighbors, weights = np.full((n, 8), -1, np.int32), np.zeros((n, 8), np.float32)
    ready, fresh = leader_workspace(windows, n, len(turn)), leader_workspace(windows, n)
    begin_leaders(ring, seq, windows, turn, ready)
    prepared, whole = best_s(
        lambda: find_leaders(ring, seq, windows, turn, True, ready, neighbors, weights),
        lambda: find_leaders(ring, seq, windows, turn, False, fresh, neighbors, weights),
    )
    assert prepared < 0.5 * whole  # 0.15 to 0.25 on the day of this test
