"""Features against their formulas, written out in plain Python."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3g_model.errors import FeatureError, ShapeError
from cs3g_model.features import FEATURE_NAMES, raw_features
from cs3g_model.normalization import normalize
from cs3g_model.window_columns import UNDEFINED_PRICE, WindowColumns, last_close_before

SIZE = 10**9
UNIT = 10**9


def make_columns(
    seed: int = 0, windows: int = 6, instruments: int = 5, present: float = 0.7
) -> WindowColumns:
    rng = np.random.default_rng(seed)
    shape = (windows, instruments)
    columns = WindowColumns.zeros(np.arange(1, windows + 1) * SIZE, instruments)
    columns.mask[:] = rng.random(shape) < present
    prices = np.sort(rng.integers(90 * UNIT, 110 * UNIT, (4, *shape)), axis=0)
    columns.low[:], columns.open[:], columns.close[:], columns.high[:] = prices
    columns.n_ticks[:] = rng.integers(1, 4, shape)
    columns.n_trades[:] = rng.integers(0, 4, shape)
    columns.n_quotes[:] = rng.integers(0, 3, shape)
    columns.volume[:] = rng.integers(0, 3, shape)
    columns.buy_volume[:] = rng.integers(0, 3, shape)
    columns.sell_volume[:] = rng.integers(0, 3, shape)
    columns.notional[:] = rng.uniform(0, 1e6, shape)
    columns.sum_sq_return[:] = rng.uniform(0, 1e-3, shape)
    columns.spread_sum[:] = rng.uniform(0, 1e-3, shape)
    columns.quote_imbalance_sum[:] = rng.uniform(-1, 1, shape)
    columns.ts_last[:] = columns.ts_close[:, None] - rng.integers(1, SIZE, shape)
    return columns


def slice_columns(columns: WindowColumns, start: int, stop: int) -> WindowColumns:
    return WindowColumns(**{f.name: getattr(columns, f.name)[start:stop] for f in fields(columns)})


def one(**values: Any) -> WindowColumns:
    columns = WindowColumns.zeros(np.array([SIZE]), 1)
    columns.mask[:] = True
    defaults = {"open": 100 * UNIT, "high": 100 * UNIT, "low": 100 * UNIT, "close": 100 * UNIT, "n_ticks": 2}
    for name, value in (defaults | values).items():
        getattr(columns, name)[:] = value
    return columns


def features_of(columns: WindowColumns, previous: int = UNDEFINED_PRICE) -> dict[str, float]:
    raw = raw_features(columns, np.array([[previous]]), SIZE)
    return dict(zip(FEATURE_NAMES, raw[0, 0].tolist(), strict=True))


def reference(c: WindowColumns, t: int, n: int, previous: int) -> list[float]:
    def clip(x: float) -> float:
        return min(max(x, -0.4), 0.4)

    o, h, low, close = (float(getattr(c, name)[t, n]) for name in ("open", "high", "low", "close"))
    has_previous = previous != UNDEFINED_PRICE
    buy, sell, quotes = int(c.buy_volume[t, n]), int(c.sell_volume[t, n]), int(c.n_quotes[t, n])
    if buy + sell:
        imbalance = (buy - sell) / (buy + sell)
    else:
        imbalance = c.quote_imbalance_sum[t, n] / quotes if quotes else 0.0
    volume, notional = int(c.volume[t, n]), c.notional[t, n]
    single = c.n_ticks[t, n] == 1
    return [
        clip(close / previous - 1) if has_previous else 0.0,
        clip(o / previous - 1) if has_previous else 0.0,
        clip(close / o - 1),
        (h - low) / close,
        (2 * close - h - low) / (h - low) if h > low else 0.0,
        math.log1p(notional),
        clip(notional / volume / (close / UNIT) - 1) if volume else 0.0,
        math.log1p(c.n_trades[t, n]),
        imbalance,
        c.spread_sum[t, n] / quotes if quotes else 0.0,
        math.log(h / low) / (2 * math.sqrt(math.log(2))) if single else math.sqrt(c.sum_sq_return[t, n]),
        (c.ts_close[t] - c.ts_last[t, n]) / SIZE,
    ]


@pytest.mark.parametrize("seed", range(4))
def test_raw_features_follow_their_formulas(seed: int) -> None:
    columns = make_columns(seed)
    carry = np.array([UNDEFINED_PRICE, 100 * UNIT, UNDEFINED_PRICE, 95 * UNIT, 1])
    previous = last_close_before(columns.close, columns.mask, carry)
    raw = raw_features(columns, previous, SIZE)
    for n in range(columns.mask.shape[1]):
        last = int(carry[n])
        for t in range(columns.mask.shape[0]):
            assert previous[t, n] == last
            if columns.mask[t, n]:
                np.testing.assert_allclose(raw[t, n], reference(columns, t, n, last), rtol=1e-12, atol=1e-12)
                last = int(columns.close[t, n])
            else:
                assert not raw[t, n].any()


def test_returns_are_clipped_and_zero_without_a_previous_close() -> None:
    assert features_of(one(close=150 * UNIT, high=150 * UNIT), previous=100 * UNIT)["return_close"] == 0.4
    assert features_of(one(), previous=1000 * UNIT)["return_gap"] == -0.4
    assert features_of(one())["return_close"] == 0.0


def test_imbalance_falls_back_to_the_quotes() -> None:
    assert (
        features_of(one(buy_volume=3, sell_volume=1, n_quotes=2, quote_imbalance_sum=1.0))["imbalance"] == 0.5
    )
    assert features_of(one(n_quotes=4, quote_imbalance_sum=1.0))["imbalance"] == 0.25
    assert features_of(one())["imbalance"] == 0.0


def test_a_single_bar_has_parkinsons_volatility() -> None:
    raw = features_of(one(high=110 * UNIT, low=100 * UNIT, n_ticks=1))
    assert raw["realized_volatility"] == pytest.approx(math.log(1.1) / (2 * math.sqrt(math.log(2))))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(1, 11), max_size=4))
def test_cuts_in_time_change_no_bit(seed: int, cuts: list[int]) -> None:
    columns = make_columns(seed, windows=12)
    carry = np.full(columns.mask.shape[1], UNDEFINED_PRICE)
    previous = last_close_before(columns.close, columns.mask, carry)
    whole = normalize(raw_features(columns, previous, SIZE), columns.mask)
    pieces = []
    edges = sorted({0, 12, *cuts})
    for start, stop in pairwise(edges):
        piece = slice_columns(columns, start, stop)
        before = last_close_before(piece.close, piece.mask, carry)
        pieces.append(normalize(raw_features(piece, before, SIZE), piece.mask))
        carry = np.where(piece.mask[-1], piece.close[-1], before[-1])
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_absent_instruments_change_no_bit() -> None:
    columns = make_columns(3)
    wide = WindowColumns.zeros(columns.ts_close, 9)
    places = np.array([0, 2, 3, 6, 8])
    for field in fields(columns):
        if field.name != "ts_close":
            getattr(wide, field.name)[:, places] = getattr(columns, field.name)
    results = []
    for c in (columns, wide):
        previous = last_close_before(c.close, c.mask, np.full(c.mask.shape[1], UNDEFINED_PRICE))
        results.append(normalize(raw_features(c, previous, SIZE), c.mask))
    assert results[1][:, places].tobytes() == results[0].tobytes()


def test_extreme_prices_stay_finite() -> None:
    columns = one(high=2**62 - 1, low=1, open=1, close=2**62 - 1, volume=1, notional=1e300, n_ticks=1)
    raw = raw_features(columns, np.array([[1]]), SIZE)
    assert np.isfinite(raw).all()
    pair = np.concatenate([raw, np.zeros_like(raw)], axis=1)
    assert np.isfinite(normalize(pair, np.ones((1, 2), np.bool_))).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"close": 0}, "`close` must be > 0"),
        ({"low": -1}, "`low` must be > 0"),
        ({"high": UNDEFINED_PRICE}, "`high` must be > 0 and defined"),
        ({"notional": np.nan}, "`notional` must be finite"),
        ({"spread_sum": np.inf}, "`spread_sum` must be finite"),
    ],
)
def test_impossible_windows_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        features_of(one(**values))


def test_impossible_values_of_absent_instruments_are_ignored() -> None:
    columns = one(close=0)
    columns.mask[:] = False
    assert not raw_features(columns, np.array([[1]]), SIZE).any()


def test_shapes_are_checked() -> None:
    columns = make_columns()
    with pytest.raises(ShapeError, match="`previous_close` must have the shape"):
        raw_features(columns, columns.close[:1], SIZE)
    with pytest.raises(FeatureError, match="`size_ns` \\(=0\\) must be > 0"):
        raw_features(columns, columns.close, 0)
