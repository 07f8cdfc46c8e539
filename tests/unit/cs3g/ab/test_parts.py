"""Calibration, breakdowns, costs and limits against numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from cs3g.ab.books import long_short
from cs3g.ab.breakdown import by_regime, by_sector, trailing_volatility
from cs3g.ab.calibration import calibration, class_returns, n_classes
from cs3g.ab.intervals import Intervals
from cs3g.ab.settings import AbSettings
from cs3g_model.evaluation.books import book_series
from cs3g_model.evaluation.panel import CrossSections
from cs3g_model.metrics import bootstrap_mean
from tests.unit.cs3g.ab.factories import future_returns, make_market

INTERVALS = Intervals(AbSettings(draws=200))


def sections(labels: list[list[float]], scored: list[list[bool]] | None = None) -> CrossSections:
    values = np.array(labels)
    mask = np.ones(values.shape, np.bool_) if scored is None else np.array(scored)
    w, n = values.shape
    return CrossSections(
        windows=np.arange(w), starts_ns=np.arange(w), symbols=tuple(map(str, range(n))), labels=values,
        scored=mask, tradable=mask, windows_a_year=252.0, horizon=1, min_names=2,
    )  # fmt: skip


def test_classes_are_filled_from_the_lowest_score_and_means_are_excess() -> None:
    cut = sections([[0.04, 0.02, 0.00, -0.02], [0.01, 0.01, 0.01, 0.05]])
    scores = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    found = class_returns(scores, cut, 2)
    # Window 1: mean .01, low pair (-.02 + 0) / 2, high pair (.02 + .04) / 2. Window 2: mean .02.
    assert found == pytest.approx(np.array([[-0.02, 0.02], [-0.01, 0.01]]))


def test_what_is_not_scored_is_in_no_class_and_ties_share_one() -> None:
    cut = sections([[0.1, 0.2, 0.6, 9.0]], [[True, True, True, False]])
    found = class_returns(np.array([[1.0, 1.0, 2.0, 0.0]]), cut, 3)
    assert found[0] == pytest.approx(np.array([np.nan, -0.15, 0.3]), nan_ok=True)


def test_there_are_ten_classes_only_where_instruments_fill_them() -> None:
    assert n_classes(sections([[0.0] * 40] * 3)) == 10
    assert n_classes(sections([[0.0] * 12] * 3)) == 6
    assert n_classes(sections([[0.0] * 2] * 3)) == 2


def test_calibration_gives_each_class_its_mean_and_limits() -> None:
    labels = np.random.default_rng(0).standard_normal((30, 20)) * 0.01
    found = calibration({"knows": labels}, sections(labels.tolist()), INTERVALS)
    means = [one["mean"] for one in found["models"]["knows"]]
    assert found["classes"] == 10
    assert means == sorted(means)
    assert sum(means) == pytest.approx(0.0, abs=1e-12)
    assert all(one["lo"] < one["mean"] < one["hi"] for one in found["models"]["knows"])


def test_limits_are_those_of_the_bootstrap_and_gaps_are_left_out() -> None:
    series = np.random.default_rng(1).standard_normal(50)
    expected = bootstrap_mean(series, draws=200)
    with_gaps = np.insert(series, [0, 7, 7], np.nan)
    assert INTERVALS.mean(with_gaps) == {"mean": expected.mean, "lo": expected.low, "hi": expected.high}
    assert INTERVALS.mean(np.array([1.0, np.nan, 2.0])) == {"mean": None, "lo": None, "hi": None}


def test_a_sector_is_judged_among_its_own() -> None:
    market = make_market(2, n=13, sectors=2)  # 7 and 6 members
    labels = future_returns(market)[:-1]
    scores = np.random.default_rng(2).standard_normal(labels.shape)
    found = by_sector({"a": scores, "b": -scores}, sections(labels.tolist()), market, INTERVALS)
    assert [entry["name"] for entry in found] == ["sector A", "sector B"]
    own = [spearmanr(scores[t, ::2], labels[t, ::2]).statistic for t in range(len(labels))]
    assert found[0]["models"]["a"]["mean"] == pytest.approx(np.mean(own))
    assert found[0]["difference"]["mean"] == pytest.approx(2 * np.mean(own))
    assert (found[0]["windows"], found[0]["instruments"]) == (len(labels), 7.0)


def test_sectors_of_few_members_are_left_out() -> None:
    market = make_market(3, n=12, sectors=4)
    labels = future_returns(market)[:-1]
    assert by_sector({"a": labels}, sections(labels.tolist()), market, INTERVALS) == []


def test_regimes_part_the_windows() -> None:
    market = make_market(4)
    panel = market.panel()
    labels = future_returns(market)[25:-1]
    cut = sections(labels.tolist())
    cut = type(cut)(**{**{f: getattr(cut, f) for f in cut.__slots__}, "windows": np.arange(25, 59)})
    series = np.arange(34.0)
    found = {entry["name"]: entry for entry in by_regime({"a": series}, cut, panel, INTERVALS)}
    thirds = [found[f"volatility: {name} third"]["windows"] for name in ("low", "middle", "high")]
    assert sum(thirds) == 34
    assert max(thirds) - min(thirds) <= 1
    up = labels.mean(axis=1) > 0
    assert found["market rises next"]["models"]["a"]["mean"] == pytest.approx(series[up].mean())
    assert found["market falls next"]["windows"] == int((~up).sum())


def test_volatility_looks_back_only() -> None:
    panel = make_market(5).panel()
    found = trailing_volatility(panel)
    returns = (panel.prices[1:] / panel.prices[:-1] - 1).mean(axis=1)
    assert np.isnan(found[:20]).all()
    assert found[30] == pytest.approx(np.std(returns[10:30], ddof=1))


def test_a_book_that_never_trades_costs_nothing_and_one_that_turns_over_pays_both_sides() -> None:
    flat = np.zeros((4, 4))
    cut = sections(flat.tolist())
    still = np.tile([4.0, 3.0, 2.0, 1.0], (4, 1))
    same = long_short(still, book_series(still, cut), cut)
    assert same.gross.tolist() == same.net.tolist() == [0.0] * 3
    turned = still * np.array([1.0, -1.0, 1.0, -1.0])[:, None]
    found = long_short(turned, book_series(turned, cut), cut)
    # Each side sells all that it held and buys as much: 2 x (5 bp + 15 bp).
    assert found.net == pytest.approx(np.full(3, -0.0040))
    assert found.turnover == pytest.approx(np.full(3, 2.0))


def test_the_book_earns_the_top_less_the_bottom() -> None:
    labels = [[0.0] * 4, [0.03, 0.01, -0.01, -0.05], [0.0] * 4]
    cut = sections(labels)
    still = np.tile([4.0, 3.0, 2.0, 1.0], (3, 1))
    assert long_short(still, book_series(still, cut), cut).gross == pytest.approx([0.02 + 0.03, 0.0])
