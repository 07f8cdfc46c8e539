"""The protocol's numbers from series that are known."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.evaluation.books import BookSeries
from cs3g_model.evaluation.resampling import Resampling
from cs3g_model.evaluation.scoring import DirectionSeries, ScoreSeries
from cs3g_model.evaluation.summary import net_excess, over_seeds, sharpe_ratio, summarize


def make_series() -> ScoreSeries:
    return ScoreSeries(
        scores=np.zeros((3, 2)),
        coverage=0.75,
        ic=np.array([0.1, 0.2, 0.6]),
        rank_ic=np.array([0.0, 0.1, 0.2]),
        direction=DirectionSeries(
            cross_section=np.array([0.5, 0.6, 0.7]),
            raw=np.array([0.4, 0.5, 0.6]),
            up=np.array([0.3, 0.4, 0.2]),
        ),
        books=BookSeries(
            long_short=np.array([0.01, 0.03, 0.02]),
            equal_weight=np.array([0.0, 0.002, 0.001]),
            top_excess=np.array([9.0, 0.01, 0.03]),
            top_bought=np.array([1.0, 0.5, 0.7]),
            top_sold=np.array([0.0, 0.3, 0.9]),
            dropout_excess=np.array([9.0, 0.02, 0.01]),
            dropout_traded=np.array([1.0, 0.1, 0.2]),
        ),
    )


def test_every_number_by_hand() -> None:
    found = summarize(make_series(), 252.0, Resampling.of(3))
    net = [0.01 - 0.5 * 5e-4 - 0.3 * 15e-4, 0.03 - 0.7 * 5e-4 - 0.9 * 15e-4]
    dropout_net = [0.02 - 0.1 * 20e-4, 0.01 - 0.2 * 20e-4]
    expected = {
        "days": 3,
        "coverage": 0.75,
        "IC": 0.3,
        "ICIR": 0.3 / np.sqrt(0.07),
        "RankIC": 0.1,
        "RankICIR": 1.0,
        "DAcs": 0.6,
        "DAcs_cc": 0.2,
        "DA": 0.5,
        "up": 0.3,
        "base": 0.7,
        "DA_minus_half": 0.0,
        "LS_ann": 0.02 * 252,
        "LS_sharpe": 2 * np.sqrt(252),
        "LO_ex": 0.02 * 252,
        "LO_IR": 0.02 / np.sqrt(2e-4) * np.sqrt(252),
        "LO_net": np.mean(net) * 252,
        "LO_net_IR": np.mean(net) / np.std(net, ddof=1) * np.sqrt(252),
        "LO_net5flat": (0.02 - 5e-4 * 1.2) * 252,
        "LO_net15flat": (0.02 - 15e-4 * 1.2) * 252,
        "turnover": 0.6,
        "TD_ex": 0.015 * 252,
        "TD_net": np.mean(dropout_net) * 252,
        "TD_net_IR": np.mean(dropout_net) / np.std(dropout_net, ddof=1) * np.sqrt(252),
        "TD_turnover": 0.15,
        "EW_ann": 0.001 * 252,
        "EW_sharpe": np.sqrt(252),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-7, abs=1e-12), name
    assert set(found) == {*expected, "RankIC_lo", "RankIC_hi", "RankIC_p0"}
    assert 0 <= found["RankIC_lo"] < 0.1 < found["RankIC_hi"] <= 0.2


def test_costs_are_those_of_each_side() -> None:
    top, net, dropout, dropout_net = net_excess(make_series().books)
    np.testing.assert_allclose(top - net, [0.5 * 5e-4 + 0.3 * 15e-4, 0.7 * 5e-4 + 0.9 * 15e-4])
    np.testing.assert_allclose(dropout - dropout_net, [2e-4, 4e-4])


def test_seeds_have_a_mean_and_a_spread() -> None:
    mean, spread = over_seeds([{"IC": 0.1}, {"IC": 0.3}])
    assert mean["IC"] == pytest.approx(0.2)
    assert spread["IC"] == pytest.approx(0.1 * np.sqrt(2))
    assert over_seeds([{"IC": 0.1}]) == ({"IC": 0.1}, {"IC": 0.0})


def test_a_single_return_has_no_sharpe_ratio() -> None:
    assert sharpe_ratio(np.array([0.1]), 252) == 0
