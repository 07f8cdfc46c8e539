from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from replay.errors import ConfigError
from replay.generator.config import MarketConfig
from replay.generator.lead_lag import plant
from replay.generator.market import Market, generate_market, market_from_shocks
from replay.generator.names import draw_names
from replay.generator.shocks import Shocks, draw_shocks

CONFIG = MarketConfig(instruments=120, windows=1200, seed=3, sectors=4)


@pytest.fixture(scope="module")
def market() -> Market:
    return generate_market(CONFIG)


def arrays(value: Any) -> dict[str, np.ndarray]:
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}


def everything(market: Market) -> dict[str, bytes]:
    parts = (market, market.names, market.graph, market.bars, market.latent)
    return {f"{type(p).__name__}.{k}": a.tobytes() for p in parts for k, a in arrays(p).items()}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(market: Market) -> None:
    again, other = generate_market(CONFIG), generate_market(replace(CONFIG, seed=4))
    assert everything(again) == everything(market)
    differing = {name for name, data in everything(other).items() if data != everything(market)[name]}
    same = {"Market.ts_open", "LeadLag.starts", "LeadLag.regimes"}
    assert differing == set(everything(market)) - same


def test_nothing_up_to_a_window_depends_on_later_shocks() -> None:
    config = replace(CONFIG, windows=300)
    names = draw_names(config, np.random.default_rng(0))
    graph = plant(config, names.sector, names.log_size, np.random.default_rng(1))
    shocks = draw_shocks(config, np.random.SeedSequence(2))
    other = draw_shocks(config, np.random.SeedSequence(9))
    t0 = 170
    mixed = {}
    for name, array in arrays(shocks).items():
        axis = 1 if name == "extremes" else 0
        mixed[name] = np.concatenate(
            [np.split(array, [t0 + 1], axis)[0], np.split(getattr(other, name), [t0 + 1], axis)[1]], axis
        )
    first = market_from_shocks(config, names, graph, shocks)
    second = market_from_shocks(config, names, graph, Shocks(**mixed))
    for one, two in ((first.bars, second.bars), (first.latent, second.latent)):
        for name, array in arrays(one).items():
            changed = arrays(two)[name]
            assert array[: t0 + 1].tobytes() == changed[: t0 + 1].tobytes(), name
            assert array[t0 + 1 :].tobytes() != changed[t0 + 1 :].tobytes(), name
    assert first.oracle[: t0 + 1].tobytes() == second.oracle[: t0 + 1].tobytes()


def test_the_oracle_is_the_expectation_of_the_next_observed_log_return(market: Market) -> None:
    returns = np.diff(np.log(market.bars.close), axis=0)
    score = market.oracle[:-1]
    # Regression of what came on what was expected: slope 1, and nothing left of it in the error.
    slope = (score * returns).sum() / (score**2).sum()
    assert slope == pytest.approx(1.0, abs=0.02)
    graph_part = market.oracle + np.where(market.latent.closes_at_ask, 1, -1) * market.names.half_spread
    bounce_part = market.oracle - graph_part
    error = returns - score
    for part in (graph_part[:-1], bounce_part[:-1]):
        covariance = (part * error).mean()
        assert abs(covariance) < 4 * np.sqrt((part**2 * error**2).mean() / error.size)
        assert abs(covariance) < 0.2 * (part**2).mean()
    ic = market.oracle_rank_ic()
    assert np.isnan(ic[-1])
    assert 0.6 < np.nanmean(ic) < 0.8


def test_returns_follow_the_planted_leaders_and_nobody_else(market: Market) -> None:
    graph, y = market.graph, market.latent.idiosyncratic
    N = CONFIG.instruments
    middle = [graph.segment(t) for t in (200, 700, 1100)]
    bounds = [0, *CONFIG.change_windows, CONFIG.windows]
    for regime, segment in enumerate(middle):
        assert graph.regimes[segment] == regime
        part = y[bounds[regime] : bounds[regime + 1]]
        lagged = part[1:].T @ part[:-1] / (part[:-1] ** 2).sum(axis=0)
        truth = graph.adjacency(int(graph.starts[segment]), N)
        edge = truth != 0
        assert edge.sum() == graph.weights[0].size
        assert np.corrcoef(lagged[edge], truth[edge])[0, 1] > 0.97
        assert np.abs(lagged[edge]).mean() == pytest.approx(np.abs(truth[edge]).mean(), rel=0.1)
        assert abs(lagged[~edge].mean()) < 0.005
        assert np.abs(lagged[~edge]).mean() < 1.2 / np.sqrt(len(part))


def test_leaders_follow_nobody_and_edges_stay_between_the_two_groups(market: Market) -> None:
    graph = market.graph
    assert len(graph.followers) == 96
    assert not np.isin(graph.sources, graph.followers).any()
    assert (np.sort(graph.sources, axis=2)[..., 1:] != np.sort(graph.sources, axis=2)[..., :-1]).all()
    assert (graph.weights**2).sum(axis=2).max() <= 0.9 + 1e-12
    same = market.names.sector[graph.sources] == market.names.sector[graph.followers][None, :, None]
    # Those drawn from anywhere fall into the own sector too, one in four.
    assert same.mean() == pytest.approx(0.6 + 0.4 / 4, abs=0.08)
    assert (graph.weights < 0).mean() == pytest.approx(0.2, abs=0.08)
    leads = np.setdiff1d(np.arange(CONFIG.instruments), graph.followers)
    assert market.names.log_size[leads].mean() > market.names.log_size[graph.followers].mean() + 1


@pytest.mark.parametrize("rewired", [0.0, 1 / 3, 1.0])
def test_a_change_of_regime_gives_the_share_of_the_followers_new_leaders(rewired: float) -> None:
    graph = generate_market(replace(CONFIG, windows=100, rewired=rewired)).graph
    for before, after in zip(graph.sources[:-1], graph.sources[1:], strict=True):
        kept = (before[:, :, None] == after[:, None, :]).any(axis=2).sum(axis=1)
        assert set(kept.tolist()) <= {0, 2}
        assert (kept == 0).sum() == int(rewired * 96)


def test_weights_are_constant_in_a_segment_and_wander_slowly_between(market: Market) -> None:
    graph = market.graph
    assert graph.starts[0] == 0
    assert graph.starts[-1] == CONFIG.windows
    assert set(CONFIG.change_windows) <= set(graph.starts.tolist())
    assert (np.diff(graph.starts) <= CONFIG.drift_step).all()
    for at in (0, 9, 10, 479, 480, CONFIG.windows - 1):
        assert graph.starts[graph.segment(at)] <= at < graph.starts[graph.segment(at) + 1]
    inside = graph.regimes[1:] == graph.regimes[:-1]
    step = np.abs(np.diff(graph.weights, axis=0))[inside]
    assert 0 < step.max() < 0.06
    first, last = (graph.weights[graph.regimes == 0][i] for i in (0, -1))
    assert np.abs(first - last).mean() > 0.05


def test_edges_say_the_same_as_the_adjacency(market: Market) -> None:
    edges = list(market.graph.edges())
    assert len(edges) == market.graph.weights.size
    for t in (0, 479, 480, 1199):
        dense = np.zeros((CONFIG.instruments, CONFIG.instruments))
        for edge in edges:
            if edge.window_start <= t < edge.window_stop:
                dense[edge.destination, edge.source] = edge.weight
        assert dense.tobytes() == market.graph.adjacency(t, CONFIG.instruments).tobytes()


def test_returns_have_fat_tails_and_volatility_clusters_and_prices_bounce() -> None:
    quiet = MarketConfig(instruments=60, windows=3000, followers=0.0, half_spread=0.5, changes=())
    market = generate_market(quiet)
    returns = np.diff(np.log(market.bars.close), axis=0)
    z = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    assert np.median((z**4).mean(axis=0)) > 4.5
    # The median over instruments moves with the volatility that they have in common.
    size = np.log(np.median(np.abs(z), axis=1))
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.2
    correlation = (z[1:] * z[:-1]).mean(axis=0)
    h = (market.names.half_spread / (quiet.window_volatility * market.names.scale)) ** 2
    expected = -h / (1 + 0.25**2 + 0.12**2 + 2 * h)
    assert correlation.mean() == pytest.approx(expected.mean(), abs=0.015)
    assert np.corrcoef(correlation, expected)[0, 1] > 0.8


def test_bars_hold_together_and_volume_comes_with_volatility(market: Market) -> None:
    bars = market.bars
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low > 0).all()
    assert (bars.volume >= 1000).all()
    log_volume = np.log(bars.volume) - np.log(bars.volume).mean(axis=0)
    assert np.corrcoef(log_volume.ravel(), np.log(market.latent.volatility).ravel())[0, 1] > 0.25
    # Where nothing is expected, a return is a Brownian path's and its range by Parkinson's (1980) law.
    leads = np.setdiff1d(np.arange(CONFIG.instruments), market.graph.followers)
    parkinson = (np.log(bars.high / bars.low)[:, leads] ** 2).mean() / (4 * np.log(2))
    body = (np.log(bars.close / bars.open)[:, leads] ** 2).mean()
    assert parkinson == pytest.approx(body, rel=0.15)
    assert body == pytest.approx(0.8 * (market.latent.mid_returns[:, leads] ** 2).mean(), rel=0.15)


@pytest.mark.parametrize("instruments", [1, 2, 3, 5, 11])
def test_any_number_of_instruments_makes_a_market(instruments: int) -> None:
    market = generate_market(MarketConfig(instruments=instruments, windows=40))
    assert market.bars.close.shape == (40, instruments)
    assert np.isfinite(market.oracle).all()
    followers = market.graph.followers
    assert len(followers) == {1: 0, 2: 1, 3: 1, 5: 3, 11: 8}[instruments]
    assert not np.isin(market.graph.sources, followers).any()


def test_minutes_lie_in_sessions() -> None:
    market = generate_market(MarketConfig(instruments=3, windows=800, window="1m"))
    minutes = market.ts_open // 60_000_000_000
    jumps = np.flatnonzero(np.diff(minutes) != 1) + 1
    assert jumps.tolist() == [390, 780]
    assert (market.ts_close - market.ts_open == 60_000_000_000).all()
    assert minutes[0] % 1440 == 14 * 60 + 30
    returns = np.diff(np.log(market.bars.close), axis=0)
    assert returns.std() == pytest.approx(0.32 / np.sqrt(252 * 390), rel=0.3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instruments": 0}, r"`instruments` \(=0\) must be in 1\.\.99999"),
        ({"windows": 1}, r"`windows` \(=1\) must be in"),
        ({"seed": -1}, r"`seed` \(=-1\)"),
        ({"window": "1h"}, "`window` .*1d or 1m"),
        ({"tail": 2.0}, "`tail`"),
        ({"volatility": float("nan")}, "`volatility` .*nan"),
        ({"reaction": 0.5, "persistence": 0.5}, "below 1"),
        ({"own_reaction": 0.2}, "below 1"),
        ({"strength": (0.5, 0.4)}, "`strength`"),
        ({"strength": (0.5, 1.0)}, "`strength`"),
        ({"changes": (0.6, 0.4)}, "`changes` .*ascend"),
        ({"changes": (0.5, 1.0)}, "`changes`"),
        ({"changes": (0.5, 0.501), "windows": 10}, "regime a window"),
        ({"rewired": 1.5}, "`rewired`"),
        ({"leaders": 0}, "`leaders`"),
        ({"drift": 0.5}, "`drift`"),
    ],
)
def test_bad_settings_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MarketConfig(**change)


def test_prices_that_run_away_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`volatility` \(=8\.0\) over `windows` \(=1500\)"):
        generate_market(MarketConfig(instruments=5, volatility=8.0))
