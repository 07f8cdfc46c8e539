"""Trades whose windows are the bars again: open, high, low, close and volume to the last digit.

Ticks are made window by window, each from a seed of its own, so that a stream of any length needs the memory of
a block, and how it is cut into blocks changes no byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from replay.errors import ConfigError
from replay.generator.bars import LEAST_VOLUME
from replay.generator.clock import trading_hours
from replay.generator.market import Market
from topics.ticks import SCHEMAS, blank_records
from topics.types import PRICE_SCALE, BoolArray, Float64Array, Int64Array, RecordArray

FEWEST_TICKS: Final = 4
"""The first trade, the highest, the lowest and the last."""

SCHEMA: Final = "trades"
_STREAM: Final = 0x7469636B  # keeps the ticks' seeds apart from the market's
_BLOCK_ROWS: Final = 2**18


def check_ticks_per_window(per_window: int) -> None:
    """Refuse a number of trades that bars cannot be cut into.

    Raises
    ------
    ConfigError
        Not in 4..1000.
    """
    if not FEWEST_TICKS <= per_window <= LEAST_VOLUME:
        raise ConfigError(
            f"ticks a window (={per_window}) must be in {FEWEST_TICKS}..{LEAST_VOLUME}: a bar has a first, a"
            " highest, a lowest and a last trade, and no trade is smaller than a share"
        )


def tick_blocks(market: Market, per_window: int, *, block_rows: int = _BLOCK_ROWS) -> Iterator[RecordArray]:
    """Yield the trades of all windows in order of time.

    Parameters
    ----------
    market
        Whose bars.
    per_window
        Trades of each instrument in each window (4..1000).
    block_rows
        A block is of as many whole windows as have so many rows, one at least.

    Yields
    ------
    (rows,) records of DBN schema `trades`, 48 bytes each; the instrument id is 1 + its index.

    Raises
    ------
    ConfigError
        `per_window` is out of range.
    """
    check_ticks_per_window(per_window)
    if block_rows < 1:
        raise ConfigError(f"`block_rows` (={block_rows}) must be > 0")
    windows_at_once = max(1, block_rows // (per_window * market.config.instruments))
    count = len(market.ts_open)
    for start in range(0, count, windows_at_once):
        stop = min(start + windows_at_once, count)
        yield np.concatenate([window_ticks(market, t, per_window) for t in range(start, stop)])


def window_ticks(market: Market, t: int, per_window: int) -> RecordArray:
    """Return the trades of window t, ordered by time."""
    generator = np.random.default_rng([market.config.seed, _STREAM, t])
    shape = (market.config.instruments, per_window)
    bars = market.bars
    opens, lasts = trading_hours(market.config.window)
    # One trade in each of as many equal parts of the trading hours.
    moments = (np.arange(per_window) + generator.random(shape)) * (lasts / per_window)
    times = market.ts_open[t] + opens + np.minimum(moments.astype(np.int64), lasts - 1)
    path, is_fixed = _path(bars.open[t], bars.high[t], bars.low[t], bars.close[t], shape, generator)
    bought = generator.random(shape) < 0.5
    bought[:, 0], bought[:, -1] = market.latent.opens_at_ask[t], market.latent.closes_at_ask[t]
    half_spread = path * market.names.half_spread[:, None]
    bounced = np.clip(
        path + np.where(bought, half_spread, -half_spread), bars.low[t][:, None], bars.high[t][:, None]
    )
    prices = np.where(is_fixed, path, bounced)
    records = blank_records(SCHEMAS[SCHEMA], prices.size)
    order = np.argsort(times, axis=None, kind="stable")
    records["ts_event"] = records["ts_recv"] = times.ravel()[order]
    records["instrument_id"] = np.repeat(np.arange(1, shape[0] + 1, dtype=np.uint32), per_window)[order]
    records["price"] = np.rint(prices * PRICE_SCALE).astype(np.int64).ravel()[order]
    records["size"] = _sizes(bars.volume[t], shape, generator).ravel()[order]
    records["action"] = b"T"
    records["side"] = np.where(bought, b"B", b"A").ravel()[order]
    records["sequence"] = np.arange(t * prices.size, (t + 1) * prices.size, dtype=np.int64) % 2**32
    return records


def _path(
    first: Float64Array,
    high: Float64Array,
    low: Float64Array,
    last: Float64Array,
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> tuple[Float64Array, BoolArray]:
    """Return prices (N, P) on straight lines from first to last through high and low, and which are those."""
    count, per_window = shape
    inner = np.argsort(generator.random((count, per_window - 2)), axis=1)[:, :2] + 1
    at_high, at_low = inner[:, 0], inner[:, 1]
    high_first = at_high < at_low
    places = np.stack(
        [np.zeros(count, np.int64), inner.min(axis=1), inner.max(axis=1), np.full(count, per_window - 1)],
        axis=1,
    )
    values = np.stack([first, np.where(high_first, high, low), np.where(high_first, low, high), last], axis=1)
    k = np.arange(per_window)
    segment = (k >= places[:, 1:2]).astype(np.int64) + (k >= places[:, 2:3])
    rows = np.arange(count)[:, None]
    left, right = places[rows, segment], places[rows, segment + 1]
    share = (k - left) / (right - left)
    line = (1.0 - share) * values[rows, segment] + share * values[rows, segment + 1]
    # The anchors themselves, not their rounding errors.
    line[rows, places] = values
    is_fixed = np.zeros(shape, np.bool_)
    is_fixed[rows, places] = True
    return line, is_fixed


def _sizes(volume: Int64Array, shape: tuple[int, int], generator: np.random.Generator) -> Int64Array:
    """Cut each volume (N,) into P sizes of at least 1, (N, P)."""
    shares = generator.exponential(size=shape)
    shares /= shares.sum(axis=1, keepdims=True)
    sizes = 1 + np.floor((volume[:, None] - shape[1]) * shares).astype(np.int64)
    sizes[:, -1] += volume - sizes.sum(axis=1)
    return sizes
