"""The drawing board: where values lie, which ticks they get, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs3g.ab.plots import trailing
from cs3g.ab.svg import Chart, Scale, decade_ticks, nice_ticks, padded, sampled


def test_scales_run_from_end_to_end() -> None:
    assert [Scale(0, 10, 100, 200)(v) for v in (0, 5, 10)] == [100, 150, 200]
    assert [Scale(0.1, 10, 0, 100, log=True)(v) for v in (0.1, 1, 10)] == pytest.approx([0, 50, 100])
    assert Scale(1, 1, 0, 100)(1) == 0


@given(lo=st.floats(-1e6, 1e6), span=st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(lo: float, span: float) -> None:
    ticks = nice_ticks(lo, lo + span)
    assert 1 <= len(ticks) <= 12
    assert ticks == sorted(ticks)
    assert all(lo - span * 1e-6 - 1e-9 <= tick <= lo + span * (1 + 1e-6) + 1e-9 for tick in ticks)


def test_ticks_of_examples() -> None:
    assert nice_ticks(-0.04, 0.16) == [-0.04, 0.0, 0.04, 0.08, 0.12, 0.16]
    assert nice_ticks(3.0, 3.0) == [3.0]
    assert decade_ticks(0.15, 30) == pytest.approx([0.2, 0.5, 1, 2, 5, 10, 20])


def test_room_is_left_around_what_is_finite() -> None:
    assert padded(np.array([1.0, np.nan, 3.0]), zero=False, share=0.5) == (0.0, 4.0)
    assert padded(np.array([np.nan])) == (-1.0, 1.0)


def test_samples_keep_both_ends() -> None:
    assert sampled(5).tolist() == [0, 1, 2, 3, 4]
    found = sampled(10_000, 7)
    assert (len(found), found[0], found[-1]) == (7, 0, 9999)


def test_lines_break_where_a_value_is_missing_and_text_is_escaped() -> None:
    chart = Chart((0.0, 3.0), (0.0, 1.0))
    chart.line(np.arange(4.0), np.array([0.0, np.nan, 1.0, 0.5]), "s0")
    chart.text(0, 0, "<a&b>")
    drawn = chart.render('say "it"')
    path = drawn.split('d="')[1].split('"')[0]
    assert (path.count("M"), path.count("L")) == (2, 1)
    assert "&lt;a&amp;b&gt;" in drawn
    assert 'aria-label="say &quot;it&quot;"' in drawn


def test_trailing_means_and_errors_are_those_of_their_windows() -> None:
    series = np.random.default_rng(0).standard_normal(30)
    series[12] = np.nan
    mean, error = trailing(series, 10)
    assert np.isnan(mean[:9]).all()
    here = np.delete(series[6:16], 6)
    assert mean[15] == pytest.approx(here.mean())
    assert error[15] == pytest.approx(here.std(ddof=1) / 3)
    assert np.isnan(trailing(series[:5], 10)[0]).all()
