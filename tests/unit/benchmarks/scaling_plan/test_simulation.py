"""What the simulation of a deployment promises, on deployments small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.scaling_plan.costs import Costs
from benchmarks.scaling_plan.deployment import Deployment, first_to_saturate, resources
from benchmarks.scaling_plan.report import lags, phases, settled_s, sweep
from benchmarks.scaling_plan.simulate import simulate

# One core, one partition, two instruments: ticks keep a tenth of it busy.
ONE = Deployment(
    ticks_per_s=100.0,
    instruments=2,
    universes=1,
    hosts=1,
    cores_per_host=1,
    partitions_per_core=1,
    replication=1,
    burst=1.0,
    skew=0.0,
    jitter=0.0,
    loss_at_s=None,
    duration_s=16.0,
)
PLAIN = Costs(
    tick_s=1e-3,
    kafka_tick_s=0.0,
    message_s=0.0,
    sent_s=0.01,
    close_row_s=0.005,
    join_row_s=0.001,
    graph_row_s=0.002,
    lead_pair_s=0.003,
    refresh_row_s=0.0,
    refresh_pair_s=0.05,
    codec_row_s=0.001,
    score_row_s=0.004,
    checkpoint_row_s=0.0,
    hop_s=0.1,
)
SMALL = Deployment(
    ticks_per_s=2e6,
    instruments=120,
    universes=4,
    hosts=3,
    cores_per_host=2,
    burst_at_s=8.0,
    burst_s=4.0,
    loss_at_s=20.0,
    duration_s=60.0,
)


def test_lag_is_what_one_finds_by_hand() -> None:
    lag_s = simulate(ONE, PLAIN).lag_s[:, :, 0]
    closed = 0.005 + 2 * 0.005 + 0.01  # the message that ends the window, two rows, and sent
    snapshot = 0.1 + 0.01 + 2 * (0.001 + 0.002 + 0.001) + 4 * 0.003
    score = 0.01 + 2 * 0.004 + 0.1
    assert lag_s[0] == pytest.approx(closed)
    assert lag_s[2][1:8] == pytest.approx(closed + snapshot + score)
    # Every eighth window makes the correlations anew.
    assert lag_s[2][[0, 8]] == pytest.approx(closed + snapshot + 4 * 0.05 + score)


def test_a_saturated_core_falls_behind_by_what_it_lacks() -> None:
    want = replace(ONE, ticks_per_s=2000.0)
    outcome = simulate(want, PLAIN)
    assert resources(want, PLAIN, want.ticks_per_s)["ticks, hottest partition"] > 2.0
    # Twice the work that it can do: the ticks of t seconds are folded after 2 t.
    assert outcome.lag_s[0, -1, 0] > want.duration_s
    assert outcome.full is not None
    assert outcome.full[0] == "ticks on a core"
    assert outcome.full[1] == pytest.approx(1.0, abs=0.2)


def test_brokers_that_are_too_slow_delay_by_their_backlog() -> None:
    narrow = replace(ONE, ticks_per_s=1e5, brokers=1, burst=2.0, burst_at_s=4.0, burst_s=4.0)
    costs = replace(
        Costs(), tick_wire_bytes=10.0, window_row_bytes=0.0, graph_row_bytes=0.0, prediction_row_bytes=0.0
    )
    # 1 MB/s in and 2 MB/s out for two consumers: a link of 2.5 MB/s lacks 1.5 MB/s in the burst.
    outcome = simulate(replace(narrow, link_gbit=0.02), costs)
    lag_s = outcome.lag_s[0, :, 0]
    assert lag_s[7] == pytest.approx(4.0 * 1.5 / 2.5, rel=0.02)
    assert lag_s[15] == pytest.approx(4.0 * 1.5 / 2.5 - 8.0 * 0.5 / 2.5, rel=0.02)
    assert outcome.full is not None
    assert outcome.full[0] == "brokers' links"


@pytest.mark.parametrize("placement", ["shared", "apart"])
@pytest.mark.parametrize("ticks_per_s", [2e6, 8e6, 4e7])
def test_every_window_is_predicted_once_and_in_order(placement: str, ticks_per_s: float) -> None:
    want = replace(SMALL, placement=placement, ticks_per_s=ticks_per_s, universes_per_core=2)
    outcome = simulate(want, Costs())
    assert (outcome.n_predicted == 1).all()
    assert np.isfinite(outcome.done_s).all()
    assert (np.diff(outcome.done_s, axis=0) > 0).all()  # stage after stage
    assert (np.diff(outcome.done_s[1:], axis=1) > 0).all()  # a universe's sequence in order
    assert (outcome.lag_s > 0).all()


def test_a_lost_host_is_recovered_from_once_the_group_has_noticed() -> None:
    outcome = simulate(SMALL, Costs())
    settled = settled_s(SMALL, outcome, 20.0)
    found = {phase: lags(outcome, chosen) for phase, chosen in phases(SMALL, outcome).items()}
    assert 11.0 < settled < 16.0  # ten seconds of session, one of rebalance, and the backlog
    assert found["calm"] is not None
    assert found["loss"] is not None
    assert found["calm"].max_s < 0.1
    assert 11.0 < found["loss"].max_s < settled
    assert outcome.lag_s[2, -1].max() < 0.1


def test_survivors_without_room_never_catch_up() -> None:
    _, most = first_to_saturate(SMALL, Costs())
    want = replace(SMALL, ticks_per_s=0.9 * most, burst=1.0)
    outcome = simulate(want, Costs())
    assert outcome.full is None  # while all hosts live
    assert settled_s(want, outcome, 20.0) == float("inf")


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    first, second, other = (simulate(replace(SMALL, seed=seed), Costs()) for seed in (1, 1, 2))
    assert (first.done_s == second.done_s).all()
    assert (first.done_s != other.done_s).any()


def test_the_rate_that_saturates_is_where_the_simulation_falls_behind() -> None:
    want = replace(SMALL, burst=1.0, jitter=0.0, loss_at_s=None)
    name, most = first_to_saturate(want, Costs())
    assert name == "ticks and sequences, hottest core"
    assert simulate(replace(want, ticks_per_s=0.97 * most), Costs()).full is None
    assert simulate(replace(want, ticks_per_s=1.1 * most), Costs()).full is not None


def test_a_sweep_ends_between_no_lag_and_too_much() -> None:
    want = replace(SMALL, loss_at_s=None, duration_s=20.0)
    rate = sweep(want, Costs())
    for factor, keeps_up in ((0.98, True), (1.02, False)):
        outcome = simulate(replace(want, ticks_per_s=rate * factor), Costs())
        found = lags(outcome, np.ones(20, np.bool_))
        assert found is not None
        assert (found.p99_s < 1.0) == keeps_up


def test_one_universe_of_everything_is_full_without_a_tick() -> None:
    want = Deployment(universes=1)
    assert first_to_saturate(want, Costs()) == ("sequence of a universe", 0.0)
    assert resources(want, Costs(), 0.0)["snapshot in one message"] > 1.0


def test_a_deployment_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="tick partitions"):
        replace(SMALL, instruments=3)
    with pytest.raises(ValueError, match="the only host"):
        replace(ONE, loss_at_s=1.0)
    with pytest.raises(ValueError, match="leave none"):
        replace(ONE, placement="apart")
