"""Books of four instruments, two held, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.evaluation.books import book_series
from tests.unit.cs3g_model.evaluation.factories import make_sections

LABELS = [[0.2, 0, 0, 0], [0, 0.11, 0, 0.22], [0.1, 0.1, 0.1, 0.1]]
SCORES = np.array([[4.0, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3]])


def test_three_windows_by_hand() -> None:
    series = book_series(SCORES, make_sections(LABELS))
    np.testing.assert_allclose(series.equal_weight, [0.05, 0.0825, 0.1])
    # Long 0 and 1, then 3 and 2, then 0 and 3; short the others.
    np.testing.assert_allclose(series.long_short, [0.1, 0.11 - 0.055, 0], atol=1e-15)
    np.testing.assert_allclose(series.top_excess, [0.05, 0.11 - 0.0825, 0], atol=1e-15)
    # After window 0 the top book is 6/11 of 0 and 5/11 of 1: all of it is sold for 2 and 3.
    # After window 1 it is 1/2.22 of 2 and 1.22/2.22 of 3: 2 is sold, 3 is cut to a half, 0 is bought.
    cut = 1 / 2.22 + 1.22 / 2.22 - 0.5
    np.testing.assert_allclose(series.top_bought, [1, 1, 0.5])
    np.testing.assert_allclose(series.top_sold, [0, 1, cut])
    # The dropout book keeps 1 (5/11, drifted) and swaps 0 (6/11) for 3, then swaps 1 for 0.
    after = 5 / 11 * 1.11 / (5 / 11 * 1.11 + 6 / 11 * 1.22)
    np.testing.assert_allclose(series.dropout_traded[1:], [6 / 11, after])
    np.testing.assert_allclose(
        series.dropout_excess, [0.05, 5 / 11 * 0.11 + 6 / 11 * 0.22 - 0.0825, 0], atol=1e-15
    )


def test_what_is_at_its_limit_is_neither_bought_nor_sold() -> None:
    free = [[1, 1, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]]
    series = book_series(SCORES, make_sections(LABELS, tradable=free))
    # In window 1 only 1 and 2 can be traded: 2 is long, 1 short. The dropout book cannot sell 0, the worst, for 2.
    assert series.long_short[1] == pytest.approx(0 - 0.11)
    assert series.top_excess[1] == pytest.approx(0 - 0.0825)
    assert series.dropout_traded[1] == pytest.approx(0)
    assert series.dropout_excess[1] == pytest.approx(5 / 11 * 0.11 - 0.0825)


def test_what_leaves_the_universe_is_held_and_earns_nothing() -> None:
    scored = [[1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]
    series = book_series(SCORES, make_sections(LABELS, scored=scored))
    # 0 has no price in window 1 and cannot be sold: it stays at 6/11 and earns nothing.
    assert series.equal_weight[1] == pytest.approx(0.11)
    assert series.dropout_traded[1] == pytest.approx(0)
    assert series.dropout_excess[1] == pytest.approx(5 / 11 * 0.11 - 0.11)
    assert series.dropout_excess[2] == pytest.approx(0)


def test_equal_scores_are_taken_in_a_fixed_order_that_changes_from_window_to_window() -> None:
    labels = np.random.default_rng(0).standard_normal((40, 8)) * 0.01
    sections = make_sections(labels)
    ties = np.zeros((40, 8))
    first, again = book_series(ties, sections), book_series(ties, sections)
    np.testing.assert_array_equal(first.top_excess, again.top_excess)
    assert first.top_bought[1:].mean() > 0.2  # a fixed order would not trade


def test_nobody_to_trade_is_a_book_of_nothing() -> None:
    series = book_series(SCORES, make_sections(LABELS, tradable=np.zeros((3, 4))))
    np.testing.assert_array_equal(series.long_short, 0)
    np.testing.assert_allclose(series.top_excess, -series.equal_weight)
    np.testing.assert_allclose(series.dropout_excess, -series.equal_weight)


def test_a_tenth_is_replaced_at_most() -> None:
    g = np.random.default_rng(1)
    labels, scores = g.standard_normal((2, 60, 120)) * 0.01
    traded = book_series(scores, make_sections(labels)).dropout_traded[1:]
    assert (traded > 0.05).all()
    assert (traded < 0.15).all()  # 5 of 50, drifted
