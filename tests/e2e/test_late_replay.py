"""Ticks held back on purpose, through a real broker and workers: counted or refused, alike in every run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from replay.lateness import Lateness
from tests.e2e.sessions import N_TICKS, PARTITIONS, run_offline, run_online
from topics.types import NANOS_PER_SECOND as S

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

LATE = Lateness(0.1, 4 * S, seed=1)
"""Forty times as long as the windows wait."""


async def test_what_comes_late_is_refused_by_the_tick_and_alike_for_any_workers(
    bootstrap_servers: str, broker_kind: str, run_id: str, tmp_path: Path
) -> None:
    undisturbed, offline = await run_offline(), await run_offline(late=LATE)
    n_chosen = int((LATE.delays_ns(0, N_TICKS) > 0).sum())
    assert (
        undisturbed.counts.n_late + n_chosen // 3
        < offline.counts.n_late
        < undisturbed.counts.n_late + n_chosen
    )
    result = await run_online(
        bootstrap_servers,
        run_id,
        tmp_path,
        embedded=broker_kind == "embedded",
        workers=2,
        late=LATE,
        batch_ticks=40,
    )
    found = result.collected
    assert result.report.held_back == n_chosen
    assert found.refused == Counter(offline.refused)
    assert found.window_ticks + found.refused.total() == result.report.ticks == N_TICKS
    assert len(offline.windows) >= PARTITIONS
    assert found.gaps == []
    assert found.digest.value() == offline.digest("student") != undisturbed.digest("student")
