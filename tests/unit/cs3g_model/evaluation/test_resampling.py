"""Paired draws of the stationary bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.errors import ConfigError
from cs3g_model.evaluation import resampling as module
from cs3g_model.evaluation.resampling import Resampling
from cs3g_model.metrics import bootstrap_mean


def test_limits_are_those_of_bootstrap_mean() -> None:
    series = np.random.default_rng(0).standard_normal(120) + 0.1
    low, high, share = Resampling.of(120).limits(series)
    expected = bootstrap_mean(series)
    assert (low, high) == (expected.low, expected.high)
    assert share == pytest.approx((Resampling.of(120).means(series) <= 0).mean())
    assert 0 < share < 0.5


def test_blocks_have_the_length_that_was_asked_for() -> None:
    for block in (1.0, 5.0, 20.0):
        indices = Resampling.of(200, block=block, draws=500).indices
        broken = (indices[:, 1:] != (indices[:, :-1] + 1) % 200).mean()
        # A fresh start falls on the next window by chance once in 200.
        assert broken == pytest.approx(1 / block * (1 - 1 / 200), rel=0.05)


def test_ratios_are_of_each_draw() -> None:
    draws = Resampling(np.array([[0, 1, 2], [1, 1, 1]]), 10.0)
    series = np.array([1.0, 2.0, 6.0])
    np.testing.assert_allclose(draws.ratios(series), [3 / np.sqrt(7), 0])
    np.testing.assert_allclose(draws.means(series), [3, 2])


def test_long_series_get_fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CELLS", 100_000)
    assert len(Resampling.of(100).indices) == 1000
    assert len(Resampling.of(5000).indices) == 200
    assert len(Resampling.of(50).indices) == 2000


@pytest.mark.parametrize("wrong", [{"block": 0.5}, {"draws": 0}])
def test_settings_must_make_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Resampling.of(10, **wrong)
