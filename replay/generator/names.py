"""The instruments of a generated market: names, sectors, sizes, loadings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from replay.generator.config import MarketConfig
from topics.types import Float64Array, Int64Array

_SIZE_SPREAD: Final = 1.2
_SPREAD_SPREAD: Final = 0.5
_MEDIAN_PRICE: Final = 60.0
_PRICE_SPREAD: Final = 0.6


@dataclass(frozen=True, slots=True)
class Names:
    """What stays the same of N instruments over all windows.

    Attributes
    ----------
    symbols
        N names, sorted.
    sectors
        Names of the sectors.
    sector
        (N,) int64 index into `sectors`.
    log_size
        (N,) logarithm of the size, median 0: volume is proportional to it.
    market_loading, sector_loading
        (N,) on the factors.
    scale
        (N,) idiosyncratic volatility, median 1.
    half_spread
        (N,) in log price; small instruments have wider ones.
    first_price
        (N,) mid price before the first window, in currency.
    """

    symbols: tuple[str, ...]
    sectors: tuple[str, ...]
    sector: Int64Array
    log_size: Float64Array
    market_loading: Float64Array
    sector_loading: Float64Array
    scale: Float64Array
    half_spread: Float64Array
    first_price: Float64Array


def draw_names(config: MarketConfig, generator: np.random.Generator) -> Names:
    """Draw the instruments."""
    count = config.instruments
    sector = generator.integers(0, config.sectors, count)
    log_size = _SIZE_SPREAD * generator.standard_normal(count)
    market, within = 1.0 + config.loading_spread * generator.standard_normal((2, count))
    scale = np.exp(config.volatility_spread * generator.standard_normal(count))
    # Half of the spread's variance comes with the size.
    width = np.sqrt(0.5) * (generator.standard_normal(count) - log_size / _SIZE_SPREAD)
    half = config.half_spread * config.window_volatility * np.exp(_SPREAD_SPREAD * width)
    return Names(
        symbols=tuple(f"I{n:05d}" for n in range(count)),
        sectors=tuple(f"sector {s:02d}" for s in range(config.sectors)),
        sector=np.asarray(sector, np.int64),
        log_size=log_size,
        market_loading=np.asarray(market),
        sector_loading=np.asarray(within),
        scale=scale,
        half_spread=half,
        first_price=_MEDIAN_PRICE * np.exp(_PRICE_SPREAD * generator.standard_normal(count)),
    )
