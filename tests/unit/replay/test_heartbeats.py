"""Heartbeats between the ticks."""

from __future__ import annotations

import numpy as np
import pytest

from replay.errors import ConfigError
from replay.heartbeats import Heartbeats
from tests.unit.replay.factories import T0, trades
from topics.ticks import is_heartbeat
from topics.types import NANOS_PER_SECOND as S
from topics.types import UNDEF_PRICE


def insert(records, *, partitions=2, heartbeat_ns=S, state=None):
    state = state or Heartbeats("trades", heartbeat_ns, partitions)
    return state.insert(records, (records["instrument_id"] % partitions).astype(np.uint16))


def test_each_partition_hears_of_a_new_interval_before_its_first_tick() -> None:
    records, targets = insert(trades([0, S // 2, S + 7], ids=[1, 2, 3]))
    assert records["instrument_id"].tolist() == [1, 2, 0, 0, 3]
    assert targets.tolist() == [1, 0, 0, 1, 1]
    beats = records[is_heartbeat(records)]
    assert beats["ts_event"].tolist() == [T0 + S] * 2
    assert beats["ts_recv"].tolist() == [T0 + S] * 2
    assert beats["price"].tolist() == [UNDEF_PRICE] * 2


def test_an_idle_hour_makes_one_crossing() -> None:
    records, _ = insert(trades([0, 3600 * S + 5]))
    beats = records[is_heartbeat(records)]
    assert beats["ts_event"].tolist() == [T0 + 3600 * S] * 2


def test_the_first_tick_has_nothing_before_it() -> None:
    records, _ = insert(trades([S + 5]))
    assert not is_heartbeat(records).any()


def test_a_tick_on_the_boundary_comes_after_the_heartbeat() -> None:
    records, _ = insert(trades([5, S]), partitions=1)
    assert records["instrument_id"].tolist() == [1, 0, 1]
    assert (records["ts_event"] - T0).tolist() == [5, S, S]


def test_event_time_that_goes_back_and_forth_crosses_once() -> None:
    records, _ = insert(trades([S - 1, S, S - 1, S + 1, 2 * S - 1]), partitions=1)
    assert is_heartbeat(records).sum() == 1


def test_an_interval_of_zero_means_none() -> None:
    ticks = trades([0, 10 * S])
    records, targets = insert(ticks, heartbeat_ns=0)
    assert records.tobytes() == ticks.tobytes()
    assert len(targets) == 2


def test_the_count_is_over_all_partitions() -> None:
    state = Heartbeats("trades", S, 3)
    insert(trades([0, S, 2 * S]), partitions=3, state=state)
    assert state.n_sent == 6


@pytest.mark.parametrize(("heartbeat_ns", "partitions"), [(-1, 1), (S, 0)])
def test_settings_out_of_range_are_refused(heartbeat_ns: int, partitions: int) -> None:
    with pytest.raises(ConfigError, match="must be >="):
        Heartbeats("trades", heartbeat_ns, partitions)
