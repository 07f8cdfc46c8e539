"""Per-window series: IC, direction, missing scores, groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from cs3g_model.errors import EvaluationError, ShapeError
from cs3g_model.evaluation.panel import cross_sections
from cs3g_model.evaluation.scoring import direction_series, score_series, within_groups
from tests.unit.cs3g_model.evaluation.factories import make_panel, make_sections

LABELS = [[0.2, -0.1, 0.3, 0.1, -0.2], [0.1, 0.1, 0.2, -0.1, 0.0]]
SCORES = np.array([[3.0, 1, 2, 5, 4], [1, 1, 3, 2, 2]])


def test_ic_is_scipys() -> None:
    series = score_series(SCORES, make_sections(LABELS))
    for w in range(2):
        assert series.ic[w] == pytest.approx(pearsonr(SCORES[w], LABELS[w])[0])
        assert series.rank_ic[w] == pytest.approx(spearmanr(SCORES[w], LABELS[w])[0])
    assert series.coverage == 1


def test_direction_by_hand() -> None:
    series = direction_series(SCORES, make_sections(LABELS))
    # Window 0: medians 3 and 0.1. Sides of instruments 1, 2, 4 count in the cross-section (0 and 3 lie at a median):
    # 1 low and low, 2 low and high, 4 high and low. Raw, 1, 2, 3, 4: right, wrong, right, wrong.
    # Window 1: median score 2, label 0.1: only 2 counts (high and high). Raw: 0, 1 wrong, 2 right.
    np.testing.assert_allclose(series.cross_section, [1 / 3, 1])
    np.testing.assert_allclose(series.raw, [1 / 2, 1 / 3])
    np.testing.assert_allclose(series.up, [1 / 2, 1])


def test_direction_of_constant_scores_is_a_coin() -> None:
    series = direction_series(np.ones((2, 5)), make_sections(LABELS))
    for values in (series.cross_section, series.raw, series.up):
        np.testing.assert_array_equal(values, 0.5)


def test_a_missing_score_counts_as_the_median() -> None:
    holes = SCORES.copy()
    holes[0, 3] = np.nan
    holes[1] = np.inf
    series = score_series(holes, make_sections(LABELS))
    filled = SCORES.copy()
    filled[0, 3], filled[1] = 2.5, 0.0
    expected = score_series(filled, make_sections(LABELS))
    assert series.coverage == pytest.approx(4 / 10)
    np.testing.assert_array_equal(series.rank_ic, expected.rank_ic)
    assert series.rank_ic[1] == 0
    assert np.isnan(series.scores[0, 3])


def test_scores_of_the_whole_panel_are_cut_to_the_windows() -> None:
    panel = make_panel()
    sections = cross_sections(panel)
    scores = np.random.default_rng(3).standard_normal(panel.prices.shape)
    whole, cut = score_series(scores, sections), score_series(scores[sections.windows], sections)
    np.testing.assert_array_equal(whole.rank_ic, cut.rank_ic)
    with pytest.raises(ShapeError, match="scores"):
        score_series(scores[:, 1:], sections)


def test_scores_of_nothing_are_refused() -> None:
    scores = np.full((2, 5), np.nan)
    scores[0, 0] = 1.0
    scored = [[0, 1, 1, 1, 1]] * 2
    with pytest.raises(EvaluationError, match="cover nothing"):
        score_series(scores, make_sections(LABELS, scored))


def test_groups_lose_their_mean() -> None:
    values = np.array([[1.0, 3, 10, 20, 5, 7]])
    groups = np.array([0, 0, 1, 1, 2, -1])
    mask = np.array([[True, True, True, True, True, True]])
    np.testing.assert_allclose(within_groups(values, groups, mask), [[-1, 1, -5, 5, np.nan, np.nan]])
    mask[0, 2] = False
    np.testing.assert_allclose(within_groups(values, groups, mask), [[-1, 1, np.nan, np.nan, np.nan, np.nan]])
