"""Observed bars: prices at bid or ask around the mid, the range of a Brownian path, volume with volatility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from replay.errors import ConfigError
from replay.generator.config import MINUTES_PER_SESSION, MarketConfig
from replay.generator.names import Names
from replay.generator.returns import Latent
from replay.generator.shocks import Shocks
from topics.types import Float64Array, Int64Array

PRICE_DECIMALS: Final = 6

LEAST_VOLUME: Final = 1000
_MOST_VOLUME: Final = 2**32 - 1
_SHARES_PER_DAY: Final = 2_000_000.0
_VOLUME_NOISE: Final = 0.35
_PRICE_RANGE: Final = (0.01, 1e8)
_GAP_SHARE: Final = {"1d": 0.2, "1m": 0.02}


@dataclass(frozen=True, slots=True)
class Bars:
    """T windows of N instruments.

    Attributes
    ----------
    open, high, low, close
        (T, N) float64 in currency, of at most six decimals.
    volume
        (T, N) int64, at least 1000.
    """

    open: Float64Array
    high: Float64Array
    low: Float64Array
    close: Float64Array
    volume: Int64Array


def make_bars(config: MarketConfig, names: Names, latent: Latent, shocks: Shocks) -> Bars:
    """Compute the bars; row t depends on the shocks up to row t only.

    High and low are those of a Brownian bridge from open to close of the window's volatility, each by its own
    law (the maximum M of a bridge has P(M > x) = exp(-2 (x - open) (x - close) / variance)).

    Raises
    ------
    ConfigError
        A price leaves 0.01..100,000,000.
    """
    close_mid = np.log(names.first_price) + np.cumsum(latent.mid_returns, axis=0)
    before = close_mid - latent.mid_returns
    gap = _GAP_SHARE[config.window]
    departure = np.sqrt(gap * (1.0 - gap)) * latent.volatility * shocks.gap
    open_mid = before + gap * latent.mid_returns + departure
    h = names.half_spread
    open_ = open_mid + np.where(shocks.opens_at_ask, h, -h)
    close = close_mid + np.where(shocks.closes_at_ask, h, -h)
    middle, half = 0.5 * (open_mid + close_mid), 0.5 * (close_mid - open_mid)
    reach = np.sqrt(half**2 - 0.5 * (1.0 - gap) * latent.volatility**2 * np.log(shocks.extremes))
    high = np.maximum(middle + reach[0] + h, np.maximum(open_, close))
    low = np.minimum(middle - reach[1] - h, np.minimum(open_, close))
    lowest, highest = float(np.exp(low.min())), float(np.exp(high.max()))
    if not _PRICE_RANGE[0] <= lowest <= highest <= _PRICE_RANGE[1]:
        raise ConfigError(
            f"`volatility` (={config.volatility}) over `windows` (={config.windows}) takes prices to"
            f" {lowest:.3g}..{highest:.3g}; they must stay in {_PRICE_RANGE[0]}..{_PRICE_RANGE[1]:.0f}: lower either"
        )
    return Bars(
        _price(open_), _price(high), _price(low), _price(close), _volume(config, names, latent, shocks)
    )


def _price(log: Float64Array) -> Float64Array:
    return np.asarray(np.round(np.exp(log), PRICE_DECIMALS))


def _volume(config: MarketConfig, names: Names, latent: Latent, shocks: Shocks) -> Int64Array:
    unit = config.window_volatility * names.scale
    a_day = 1 if config.window == "1d" else MINUTES_PER_SESSION
    log = (
        np.log(_SHARES_PER_DAY / a_day)
        + names.log_size
        + np.log(latent.volatility / unit)
        + 0.25 * np.abs(latent.mid_returns) / latent.volatility
        + _VOLUME_NOISE * shocks.activity
    )
    return np.asarray(np.rint(np.clip(np.exp(log), LEAST_VOLUME, _MOST_VOLUME)), np.int64)
