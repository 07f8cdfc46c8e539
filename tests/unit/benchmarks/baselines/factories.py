"""Panels without files."""

from __future__ import annotations

import numpy as np

from benchmarks.baselines.panel import Panel
from replay.generator.clock import window_size_ns
from replay.generator.config import MarketConfig
from replay.generator.market import generate_market


def panel_of(config: MarketConfig, missing: tuple[tuple[int, int], ...] = ()) -> Panel:
    """A generated market's panel without the bars `missing`, (window, instrument)."""
    market = generate_market(config)
    bars = market.bars
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    columns["log_notional"] = np.log(bars.close * bars.volume)
    for column in columns.values():
        for at in missing:
            column[at] = np.nan
    return Panel(
        market.ts_open, window_size_ns(config.window), market.names.symbols, market.names.sector, **columns
    )
