from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.baselines.inputs import build_inputs, known, last_returns
from benchmarks.baselines.panel import Panel
from replay.generator.config import MarketConfig
from tests.unit.benchmarks.baselines.factories import panel_of

CONFIG = MarketConfig(instruments=6, windows=60, seed=1)
TRAIN = np.arange(16, 40)


def by_hand(panel: Panel, t: int, n: int) -> np.ndarray:
    w = slice(t - 15, t + 1)
    prices = [getattr(panel, name)[w, n] / panel.close[t, n] - 1 for name in ("open", "high", "low", "close")]
    volume = panel.log_notional[w, n]
    returns = panel.close[t - 15 : t + 1, n] / panel.close[t - 16 : t, n] - 1
    return np.stack([*prices, (volume - volume.mean()) / (volume.std() + 1e-6), returns], axis=1)


def test_inputs_are_the_protocols() -> None:
    panel = panel_of(CONFIG)
    inputs = build_inputs(panel, TRAIN)
    assert (np.diff(inputs.starts)[:16] == 0).all()
    raw = {t: np.stack([by_hand(panel, t, n) for n in range(6)]) for t in range(16, 60)}
    centered = {t: x - x.mean(axis=0) for t, x in raw.items()}
    scale = np.sqrt(np.mean([(centered[t] ** 2).mean(axis=(0, 1)) for t in TRAIN], axis=0))
    np.testing.assert_allclose(inputs.scale, scale, rtol=1e-9)
    for t in (16, 30, 59):
        assert inputs.instruments[inputs.rows(t)].tolist() == list(range(6))
        expected = np.clip(centered[t] / scale, -5, 5)
        np.testing.assert_allclose(inputs.window(t), expected, atol=3e-3)
    assert np.abs(inputs.values).max() <= 5


def test_no_later_bar_moves_an_input() -> None:
    panel, t0 = panel_of(CONFIG), 45
    g = np.random.default_rng(0)
    changed = {}
    for name in ("open", "high", "low", "close", "log_notional"):
        changed[name] = getattr(panel, name).copy()
        changed[name][t0 + 1 :] = g.uniform(1, 9, changed[name][t0 + 1 :].shape)
    before, after = build_inputs(panel, TRAIN), build_inputs(replace(panel, **changed), TRAIN)
    stop = before.starts[t0 + 1]
    assert after.values[:stop].tobytes() == before.values[:stop].tobytes()
    assert after.values[stop:].tobytes() != before.values[stop:].tobytes()


def test_the_unit_of_an_instruments_prices_does_not_matter() -> None:
    panel = panel_of(CONFIG)
    factor = 2.0 ** np.arange(-3, 3)  # powers of two change no mantissa
    scaled = {name: getattr(panel, name) * factor for name in ("open", "high", "low", "close")}
    before, after = build_inputs(panel, TRAIN), build_inputs(replace(panel, **scaled), TRAIN)
    assert after.values.tobytes() == before.values.tobytes()


@pytest.mark.parametrize(("window", "back"), [("1d", 17), ("1m", 1)])
def test_days_need_seventeen_bars_without_a_gap_and_minutes_the_last_seventeen(
    window: str, back: int
) -> None:
    panel = panel_of(replace(CONFIG, window=window), missing=((30, 2),))
    usable = known(panel)
    assert usable[16:, [0, 1, 3, 4, 5]].all()
    assert not usable[:16].any()
    assert usable[29, 2]
    assert not usable[30 : 30 + back, 2].any()
    assert usable[30 + back :, 2].all()
    inputs = build_inputs(panel, TRAIN)
    assert np.isfinite(inputs.values).all()
    assert len(inputs.values) == usable.sum()
    returns = last_returns(panel)
    assert np.isnan(returns[30, 2])
    assert returns[31, 2] == pytest.approx(panel.close[31, 2] / panel.close[29, 2] - 1)
