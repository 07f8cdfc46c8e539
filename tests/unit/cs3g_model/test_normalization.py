"""Normalization against NumPy's medians, and where a robust scale does not exist."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.errors import ShapeError
from cs3g_model.normalization import normalize


def test_normalize_equals_the_robust_z_score() -> None:
    rng = np.random.default_rng(1)
    raw, mask = rng.normal(size=(7, 11, 3)), rng.random((7, 11)) < 0.8
    result = normalize(raw, mask)
    for t in range(7):
        x = raw[t, mask[t]]
        center = np.median(x, axis=0)
        mad = np.median(np.abs(x - center), axis=0)
        expected = np.clip((x - center) / (1.4826 * mad + 1e-9), -5, 5)
        np.testing.assert_allclose(result[t, mask[t]], expected, rtol=1e-6, atol=1e-7)
        assert not result[t, ~mask[t]].any()


def test_normalize_uses_the_mean_deviation_where_most_share_a_value() -> None:
    raw = np.array([0.0, 0.0, 0.0, 0.0, 2.0]).reshape(1, 5, 1)
    result = normalize(raw, np.ones((1, 5), np.bool_))[0, :, 0]
    assert not result[:4].any()
    assert result[4] == pytest.approx(2.0 / (1.2533141 * 0.4), rel=1e-5)


def test_a_constant_feature_is_zero_even_with_rounding_noise() -> None:
    raw = np.full((1, 4, 1), 0.1) + np.array([0, 1e-17, -1e-17, 0]).reshape(1, 4, 1)
    assert np.abs(normalize(raw, np.ones((1, 4), np.bool_))).max() < 1e-6


@pytest.mark.parametrize("instruments", [0, 1])
def test_fewer_than_two_instruments_normalize_to_zero(instruments: int) -> None:
    mask = np.zeros((1, 3), np.bool_)
    mask[0, :instruments] = True
    assert not normalize(np.ones((1, 3, 2)), mask).any()


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match="`raw` must have the shape"):
        normalize(np.zeros((1, 2, 3)), np.zeros((1, 3), np.bool_))
