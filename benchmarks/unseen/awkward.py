"""A generated market with what markets do to those who model them: limits, suspensions, listings, splits.

Prices of a generated market are made anew under a daily price limit and rounded to a tick; then days are taken
out of them. Two relations are told beside the sectors: `supply`, which holds the planted lead-lag edges among others
that mean nothing, and `shareholder`, which says nothing of returns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from replay.generator.clock import date_of
from replay.generator.config import MarketConfig
from replay.generator.market import Market, generate_market
from topics.types import BoolArray, Float64Array, Int64Array

__all__ = ["AwkwardMarket", "awkward_market"]

PRICE_LIMIT: Final = 0.10
TICK: Final = 0.01
SPLIT: Final = 1000.0

_YEARLY_VOLATILITY: Final = 0.9
_SUSPENDED: Final = 0.3
_LATE, _GONE, _FLAT, _SPLIT_UP, _SPLIT_DOWN = 0.15, 0.10, 0.05, 0.03, 0.02


@dataclass(frozen=True, slots=True)
class AwkwardMarket:
    """Tables as a vendor might sell them.

    Attributes
    ----------
    panel
        date, symbol, open, high, low, close, volume, adjusted_close. Of suspended days some have no row, some a row
        of the last close without volume, and some a row of empty cells.
    relations
        symbol_a, symbol_b, relation, weight: `sector`, `supply`, `shareholder`; a few name symbols that the panel
        lacks.
    traded
        (T, N) bool, which instruments traded on a day.
    at_limit
        (T, N) bool, which of them closed at their price limit.
    dates
        T ISO dates.
    symbols
        N names.
    """

    panel: pl.DataFrame
    relations: pl.DataFrame
    traded: BoolArray
    at_limit: BoolArray
    dates: tuple[str, ...]
    symbols: tuple[str, ...]


def awkward_market(instruments: int = 300, windows: int = 750, seed: int = 0) -> AwkwardMarket:
    """Generate the market; the same arguments give the same tables.

    Parameters
    ----------
    instruments, windows
        N (at least 8) and T (at least 60).
    seed
        Decides every random choice.
    """
    config = MarketConfig(instruments=instruments, windows=windows, seed=seed, sectors=min(8, instruments))
    market = generate_market(replace(config, volatility=_YEARLY_VOLATILITY))
    g = np.random.default_rng(seed)
    closes, at_limit, flat = _limited(market, g)
    traded = _traded(closes.shape, g)
    prices = _bars(market, closes, flat)
    factor = _split_factors(closes.shape, g)
    dates = tuple(date_of(ts).isoformat() for ts in market.ts_open.tolist())
    symbols = tuple(market.names.symbols)
    panel = _table(prices, market.bars.volume, factor, traded, dates, symbols, g)
    return AwkwardMarket(panel, _relations(market, g), traded, at_limit & traded, dates, symbols)


def _limited(market: Market, g: np.random.Generator) -> tuple[Float64Array, BoolArray, BoolArray]:
    """Return closes (T, N) that move by a tick at least and the limit at most, who is at it, and who stands still.

    What a limit cut off is not made up for on the next day.
    """
    raw = market.bars.close
    T, N = raw.shape
    flat = np.zeros((T, N), np.bool_)
    for n in g.choice(N, max(1, round(_FLAT * N)), replace=False):
        start = int(g.integers(T // 2))
        flat[start : start + T // 5, n] = True
    closes, at_limit = np.empty((T, N)), np.zeros((T, N), np.bool_)
    closes[0] = np.round(raw[0] / TICK) * TICK
    for t in range(1, T):
        moved = np.where(flat[t], 1.0, raw[t] / raw[t - 1]) * closes[t - 1]
        low = np.ceil(closes[t - 1] * (1 - PRICE_LIMIT) / TICK - 1e-9) * TICK
        high = np.floor(closes[t - 1] * (1 + PRICE_LIMIT) / TICK + 1e-9) * TICK
        closes[t] = np.clip(np.round(moved / TICK) * TICK, np.maximum(low, TICK), np.maximum(high, TICK))
        at_limit[t] = ~flat[t] & ((closes[t] >= high) | (closes[t] <= low))
    return closes, at_limit, flat


def _bars(market: Market, closes: Float64Array, flat: BoolArray) -> dict[str, Float64Array]:
    """Return open, high, low and close (T, N), within the limits of the close before."""
    before = np.vstack([closes[:1], closes[:-1]])
    low, high = np.maximum(before * (1 - PRICE_LIMIT), TICK), before * (1 + PRICE_LIMIT)
    prices = {"close": closes}
    for name in ("open", "high", "low"):
        scaled = getattr(market.bars, name) / market.bars.close * closes
        prices[name] = np.where(flat, closes, np.clip(scaled, low, high))
    prices["high"] = np.maximum.reduce([prices["high"], prices["open"], closes])
    prices["low"] = np.minimum.reduce([prices["low"], prices["open"], closes])
    return prices


def _traded(shape: tuple[int, int], g: np.random.Generator) -> BoolArray:
    """Take suspensions of 1 to 60 days, late listings and delistings out of a market that trades every day."""
    T, N = shape
    traded = np.ones(shape, np.bool_)
    for n in np.flatnonzero(g.random(N) < _SUSPENDED):
        for _ in range(int(g.integers(1, 4))):
            start, days = int(g.integers(T)), int(g.integers(1, min(60, T // 4) + 1))
            traded[start : start + days, n] = False
    order = g.permutation(N)
    n_late, n_gone = max(1, round(_LATE * N)), max(1, round(_GONE * N))
    for n in order[:n_late]:
        traded[: int(g.integers(1, T)), n] = False
    for n in order[n_late : n_late + n_gone]:
        traded[int(g.integers(T // 4, T)) :, n] = False
    # One is listed again after half of the time, and one is there for five days alone.
    traded[T // 4 : T // 4 + T // 2, order[-1]] = False
    traded[:, order[-2]] = False
    traded[T // 3 : T // 3 + 5, order[-2]] = True
    # On one day next to nobody trades, as where another market's share is in the panel on a holiday.
    traded[T // 2, order[: N - max(2, N // 30)]] = False
    return traded


def _split_factors(shape: tuple[int, int], g: np.random.Generator) -> Float64Array:
    """Return (T, N) what a price is worth today over what it is in the table, for splits of 1000:1 and 1:1000."""
    T, N = shape
    factor = np.ones(shape)
    up, down = max(1, round(_SPLIT_UP * N)), max(1, round(_SPLIT_DOWN * N))
    for i, n in enumerate(g.choice(N, up + down, replace=False)):
        factor[: int(g.integers(T // 5, T)), n] = 1 / SPLIT if i < up else SPLIT
    return factor


def _table(
    prices: dict[str, Float64Array],
    volume: Int64Array,
    factor: Float64Array,
    traded: BoolArray,
    dates: tuple[str, ...],
    symbols: tuple[str, ...],
    g: np.random.Generator,
) -> pl.DataFrame:
    T, N = traded.shape
    t, n = (index.ravel() for index in np.indices((T, N)))
    table = pl.DataFrame(
        {
            "date": pl.Series(np.array(dates)[t]).str.to_date(),
            "symbol": np.array(symbols)[n],
            **{name: (prices[name] / factor).ravel() for name in ("open", "high", "low", "close")},
            # A vendor's volume is of the day's own shares.
            "volume": np.maximum(np.rint(np.asarray(volume, np.float64) * factor), 1.0).ravel(),
            "adjusted_close": prices["close"].ravel(),
            "traded": traded.ravel(),
            "kind": np.repeat(g.integers(3, size=(1, N)), T, axis=0).ravel(),
        }
    )
    suspended = ~pl.col("traded")
    last = pl.when("traded").then(pl.col("close")).forward_fill().over("symbol")
    shown = table.with_columns(
        **{
            name: pl.when(suspended & (pl.col("kind") == 1)).then(last).otherwise(pl.col(name))
            for name in ("open", "high", "low", "close")
        }
    ).with_columns(
        volume=pl.when(suspended).then(0.0).otherwise(pl.col("volume")),
        adjusted_close=pl.when(suspended & (pl.col("kind") == 1))
        .then(pl.col("close"))
        .otherwise(pl.col("adjusted_close")),
    )
    empty = suspended & (pl.col("kind") == 2)
    names = ("open", "high", "low", "close", "volume", "adjusted_close")
    shown = shown.with_columns(**{x: pl.when(empty).then(None).otherwise(pl.col(x)) for x in names})
    gone = suspended & ((pl.col("kind") == 0) | ((pl.col("kind") == 1) & pl.col("close").is_null()))
    return shown.filter(~gone).drop("traded", "kind")


def _relations(market: Market, g: np.random.Generator) -> pl.DataFrame:
    symbols = np.array(market.names.symbols)
    sector, N = market.names.sector, len(symbols)
    same = [(i, j) for i in range(N) for j in range(i + 1, N) if sector[i] == sector[j]]
    followers, leaders = _planted(market)
    noise = g.integers(N, size=(len(followers), 2))
    owned = g.integers(N, size=(N // 2, 2))
    rows = [(symbols[i], symbols[j], "sector", 1.0) for i, j in same]
    rows += [(symbols[i], symbols[j], "supply", 0.8) for i, j in zip(leaders, followers, strict=True)]
    rows += [(symbols[i], symbols[j], "supply", 0.3) for i, j in noise.tolist() if i != j]
    rows += [
        (symbols[i], symbols[j], "shareholder", float(share))
        for (i, j), share in zip(owned.tolist(), g.uniform(0.05, 1.0, len(owned)), strict=True)
        if i != j
    ]
    rows += [("ABROAD", symbols[0], "supply", 1.0), ("ABROAD", "ELSEWHERE", "shareholder", 0.5)]
    return pl.DataFrame(rows, schema=["symbol_a", "symbol_b", "relation", "weight"], orient="row")


def _planted(market: Market) -> tuple[list[int], list[int]]:
    """Return the edges of the first regime as followers' and leaders' positions."""
    sources = market.graph.sources[0]
    followers = np.repeat(market.graph.followers, sources.shape[1])
    return followers.tolist(), sources.ravel().tolist()
