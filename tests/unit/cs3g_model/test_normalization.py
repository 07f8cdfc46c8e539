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


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_medians_are_numpys_whatever_values_are_shared(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    for count in [2, 3, 4, 5, 6, 7, 16, 17, 100, 501] * 3:
        raw = np.round(rng.normal(size=(1, count, 4)), decimals)
        raw[..., 1], raw[..., 2] = np.sort(raw[..., 1]), -np.sort(-raw[..., 2])
        x = raw[0]
        center = np.median(x, axis=0)
        mad = np.median(np.abs(x - center), axis=0)
        mean = np.abs(x - center).mean(axis=0)
        scale = np.where(mad > 0, 1.4826 * mad, 1.2533141373155 * mean) + 1e-9
        expected = np.clip((x - center) / scale, -5, 5)
        result = normalize(raw, np.ones((1, count), np.bool_))[0]
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-7)


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
