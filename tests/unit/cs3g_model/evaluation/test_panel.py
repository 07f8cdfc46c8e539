"""Universe, labels and parts of a panel, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cs3g_model.errors import ConfigError, EvaluationError, ShapeError
from cs3g_model.evaluation.calendar import DAY_NS
from cs3g_model.evaluation.panel import Horizon, MarketPanel, cross_sections
from tests.unit.cs3g_model.evaluation.factories import make_panel

HOUR_NS = 3_600_000_000_000


def with_gap(panel: MarketPanel, t: int, n: int) -> MarketPanel:
    prices = panel.prices.copy()
    prices[t, n] = np.nan
    return replace(panel, prices=prices)


def test_returns_and_labels_of_a_few_prices() -> None:
    panel = MarketPanel(np.arange(7) * DAY_NS, ("A",), np.array([[100.0, 110, 99, 99, 198, 99, 100]]).T)
    np.testing.assert_allclose(panel.returns()[1:, 0], [0.1, -0.1, 0, 1, -0.5, 1 / 99])
    # Winsorized at 40 %, and at 80 % over five windows.
    np.testing.assert_allclose(panel.labels(1)[:6, 0], [0.1, -0.1, 0, 0.4, -0.4, 1 / 99])
    np.testing.assert_allclose(panel.labels(5)[:2, 0], [-0.01, 100 / 110 - 1])
    np.testing.assert_allclose(panel.labels(101)[:5, 0], [-0.1, 0, 0.4, -0.4, 1 / 99])
    for horizon, last in ((1, 6), (5, 2), (101, 5)):
        assert np.isnan(panel.labels(horizon)[last:]).all()


def test_an_instrument_is_known_after_16_windows_without_a_gap() -> None:
    known = with_gap(make_panel(T=60), 30, 2).known()
    assert known[:, 0].tolist() == [False] * 16 + [True] * 44
    assert known[:, 2].tolist() == [False] * 16 + [True] * 14 + [False] * 17 + [True] * 13


def test_it_is_scored_where_it_also_has_a_label() -> None:
    panel = with_gap(make_panel(T=60), 50, 2)
    sections = cross_sections(panel)
    assert sections.windows.tolist() == list(range(16, 59))
    scored = dict(zip(sections.windows.tolist(), sections.scored[:, 2].tolist(), strict=True))
    assert scored[48]
    assert not scored[49]
    assert np.isnan(sections.labels[49 - 16, 2])
    assert sections.scored[:, 0].all()


@pytest.mark.parametrize(("horizon", "purged"), [(1, 1), (101, 2), (5, 5)])
def test_windows_whose_label_ends_after_the_part_are_left_out(horizon: Horizon, purged: int) -> None:
    panel = make_panel(T=60)
    start, stop = int(panel.starts_ns[20]), int(panel.starts_ns[40])
    sections = cross_sections(panel, start_ns=start, stop_ns=stop, horizon=horizon)
    assert sections.windows.tolist() == list(range(20, 40 - purged))
    np.testing.assert_array_equal(sections.starts_ns, panel.starts_ns[sections.windows])


def test_a_label_stays_within_its_session() -> None:
    starts = np.concatenate([np.arange(20), 40 + np.arange(20)]).astype(np.int64) * (HOUR_NS // 12)
    panel = MarketPanel(starts, ("A", "B"), np.linspace(10, 20, 80).reshape(40, 2))
    for horizon, reach in ((1, 1), (5, 5), (101, 2)):
        labels = panel.labels(horizon)
        assert np.isnan(labels[20 - reach : 20]).all()
        assert np.isfinite(labels[: 20 - reach]).all()
        assert np.isfinite(labels[20 : 40 - reach]).all()


def test_small_windows_are_dropped_and_the_bound_follows_the_median() -> None:
    panel = make_panel(T=60, N=12)
    for n in range(9):
        panel = with_gap(panel, 40, n)
    sections = cross_sections(panel)
    # 12 in most windows, so 6 are asked for; after the gap only 3 are left for 17 windows, and in the one before it.
    assert sections.min_names == 6
    assert sections.windows.tolist() == [*range(16, 39), *range(57, 59)]
    assert cross_sections(panel, min_names=2).windows.tolist() == list(range(16, 59))


def test_a_hundred_are_asked_for_where_there_are_as_many() -> None:
    assert cross_sections(make_panel(T=30, N=150)).min_names == 100


def test_what_moved_to_its_limit_cannot_be_traded() -> None:
    panel = make_panel(T=30)
    panel.prices[20, 4] = panel.prices[19, 4] * 1.1
    panel.prices[20, 5] = panel.prices[19, 5] * 0.9
    free = cross_sections(panel, price_limit=0.0999).tradable
    assert not free[20 - 16, [4, 5]].any()
    assert cross_sections(panel).tradable.all()


def test_a_shorter_history_scores_sooner() -> None:
    assert cross_sections(make_panel(T=30), history=3).windows[0] == 3


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(EvaluationError, match="it takes two"):
        cross_sections(make_panel(N=1))
    with pytest.raises(EvaluationError, match="17 windows"):
        cross_sections(make_panel(T=10))
    with pytest.raises(EvaluationError, match="of 0 windows"):
        cross_sections(make_panel(), start_ns=0, stop_ns=DAY_NS)
    with pytest.raises(EvaluationError, match="13 instruments"):
        cross_sections(make_panel(N=12), min_names=13)
    with pytest.raises(ConfigError, match="history"):
        cross_sections(make_panel(), history=0)


def test_a_panel_must_be_whole() -> None:
    panel = make_panel(T=4, N=2)
    with pytest.raises(ShapeError, match="ascending"):
        replace(panel, starts_ns=panel.starts_ns[::-1].copy())
    with pytest.raises(ShapeError, match="prices"):
        replace(panel, symbols=("A",))
    with pytest.raises(EvaluationError, match="above zero"):
        replace(panel, prices=-panel.prices)
    with pytest.raises(EvaluationError, match="empty"):
        MarketPanel(np.zeros(0, np.int64), (), np.zeros((0, 0)))
