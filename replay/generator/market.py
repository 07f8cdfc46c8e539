"""A generated market as one value: bars that anyone may see, and the truth behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cs3g_model.metrics import rank_ic
from replay.generator.bars import Bars, make_bars
from replay.generator.clock import window_opens, window_size_ns
from replay.generator.config import MarketConfig
from replay.generator.lead_lag import LeadLag, plant
from replay.generator.names import Names, draw_names
from replay.generator.returns import Latent, simulate
from replay.generator.shocks import Shocks, draw_shocks
from topics.types import Float64Array, Int64Array

_TRAIN_SHARE, _VALID_SHARE = 0.65, 0.80


@dataclass(frozen=True, slots=True)
class Market:
    """T windows of N instruments.

    Attributes
    ----------
    config
        What it was made of.
    names
        The instruments.
    graph
        The planted lead-lag graph.
    bars
        What is observed.
    latent
        What is not.
    ts_open
        (T,) int64 ns UTC, start of each window.
    """

    config: MarketConfig
    names: Names
    graph: LeadLag
    bars: Bars
    latent: Latent
    ts_open: Int64Array

    @property
    def ts_close(self) -> Int64Array:
        """End of each window, (T,) int64 ns UTC."""
        return self.ts_open + window_size_ns(self.config.window)

    @property
    def oracle(self) -> Float64Array:
        """Expectation of each next log return given the past and the graph, (T, N); see `returns`."""
        return self.latent.expected

    @property
    def splits(self) -> tuple[int, int]:
        """Windows at which validation and test start: 65 % and 80 % of T."""
        return round(_TRAIN_SHARE * len(self.ts_open)), round(_VALID_SHARE * len(self.ts_open))

    def next_returns(self) -> Float64Array:
        """Return the simple return from each close to the next, (T, N); NaN in the last window."""
        out = np.full(self.bars.close.shape, np.nan)
        out[:-1] = self.bars.close[1:] / self.bars.close[:-1] - 1.0
        return out

    def oracle_rank_ic(self) -> Float64Array:
        """Return the oracle's rank IC in each window, (T,); NaN in the last.

        Ranks of simple and of log returns are the same, so the oracle is one for both.
        """
        labels = self.next_returns()
        return rank_ic(self.oracle, labels, np.isfinite(labels))


def generate_market(config: MarketConfig) -> Market:
    """Make a market; the same settings give the same bytes.

    Raises
    ------
    ConfigError
        Prices leave the range that can be written.
    """
    names_seed, graph_seed, shock_seed = np.random.SeedSequence(config.seed).spawn(3)
    names = draw_names(config, np.random.default_rng(names_seed))
    graph = plant(config, names.sector, names.log_size, np.random.default_rng(graph_seed))
    return market_from_shocks(config, names, graph, draw_shocks(config, shock_seed))


def market_from_shocks(config: MarketConfig, names: Names, graph: LeadLag, shocks: Shocks) -> Market:
    """Compute a market from what was drawn: a pure function, causal in the rows of the shocks.

    Raises
    ------
    ConfigError
        Prices leave the range that can be written.
    """
    latent = simulate(config, names, graph, shocks)
    bars = make_bars(config, names, latent, shocks)
    return Market(config, names, graph, bars, latent, window_opens(config.window, config.windows))
