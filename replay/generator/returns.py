"""Returns of the mid prices, window by window, and what of the next window's was to be expected.

    m_i[t] = v (market_volatility beta_i f[t] + sector_volatility gamma_i g_s(i)[t] + s_i y_i[t])
    y_i[t + 1] = sum_j w_ij(t) y_j[t] + sqrt(1 - sum_j w_ij(t)^2) sigma_i[t + 1] z_i[t + 1]

m are log returns; f and g are GARCH(1, 1) factors (Bollerslev 1986) with Student's t shocks; sigma_i^2 mixes the
market's and the instrument's own variance process, both of mean 1. The root keeps y's variance at 1 whoever
follows: nothing but time tells a follower from a leader. Leaders follow nobody, so their y is white.

Let past be all of the above up to t, the graph in force in t, and the side of the last trade of t. With the
observed log price = mid + (+-1) h_i, the trade's side a coin toss in every window, the observed log return has

    E[r_i[t + 1] | past] = v s_i sum_j w_ij(t) y_j[t] - side_i[t] h_i

because everything else in it is a shock of window t + 1 of mean 0. This is the oracle's score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from replay.generator.config import MarketConfig
from replay.generator.lead_lag import LeadLag
from replay.generator.names import Names
from replay.generator.shocks import Shocks
from topics.types import BoolArray, Float64Array


@dataclass(frozen=True, slots=True)
class Latent:
    """What nobody observes.

    Attributes
    ----------
    mid_returns
        (T, N) float64 log returns of the mid prices.
    idiosyncratic
        (T, N) float64, y: what is not a factor's, of unit variance.
    volatility
        (T, N) float64, standard deviation of the mid return given the windows before.
    expected
        (T, N) float64, the oracle's score: expectation of the observed log return of the next window.
    opens_at_ask, closes_at_ask
        (T, N) bool, whether the first and the last trade of the window were purchases.
    """

    mid_returns: Float64Array
    idiosyncratic: Float64Array
    volatility: Float64Array
    expected: Float64Array
    opens_at_ask: BoolArray
    closes_at_ask: BoolArray


def simulate(config: MarketConfig, names: Names, graph: LeadLag, shocks: Shocks) -> Latent:
    """Compute T windows of N instruments; row t depends on the shocks up to row t only."""
    shape = config.windows, config.instruments
    v = config.window_volatility
    sigma_market = _garch(config.reaction, config.persistence, shocks.market[:, None])
    sigma_sectors = _garch(config.reaction, config.persistence, shocks.sectors)
    sigma_own = _garch(config.own_reaction, config.persistence, shocks.idiosyncratic)
    share = config.common_volatility
    sigma = np.sqrt(share * sigma_market**2 + (1.0 - share) * sigma_own**2)
    own_share, sources, weights = np.ones(shape[1]), graph.sources, graph.weights
    y, expected_y = np.zeros(shape), np.zeros(shape)
    sd = np.zeros(shape)
    expectation = np.zeros(shape[1])
    for s in range(len(graph.regimes)):
        leaders, w = sources[graph.regimes[s]], weights[s]
        root = np.ones(shape[1])
        root[graph.followers] = np.sqrt(1.0 - (w**2).sum(axis=1))
        for t in range(int(graph.starts[s]), int(graph.starts[s + 1])):
            # The graph of the window before made the expectation, and left so much to chance.
            sd[t] = own_share * sigma[t]
            y[t] = expectation + sd[t] * shocks.idiosyncratic[t]
            expectation = np.zeros(shape[1])
            expectation[graph.followers] = (w * y[t][leaders]).sum(axis=1)
            expected_y[t] = expectation
            own_share = root
    market = config.market_volatility * sigma_market * shocks.market[:, None]
    sectors = config.sector_volatility * sigma_sectors * shocks.sectors
    mid = names.market_loading * market + names.sector_loading * sectors[:, names.sector] + names.scale * y
    variance = (
        (names.market_loading * config.market_volatility * sigma_market) ** 2
        + (names.sector_loading * config.sector_volatility * sigma_sectors[:, names.sector]) ** 2
        + (names.scale * sd) ** 2
    )
    side = np.where(shocks.closes_at_ask, 1.0, -1.0)
    expected = v * names.scale * expected_y - side * names.half_spread
    return Latent(v * mid, y, v * np.sqrt(variance), expected, shocks.opens_at_ask, shocks.closes_at_ask)


def _garch(reaction: float, persistence: float, shocks: Float64Array) -> Float64Array:
    """Return the standard deviation of each window given those before, (T, M), of mean square 1."""
    sigma2 = np.ones_like(shocks)
    constant = 1.0 - reaction - persistence
    for t in range(1, len(shocks)):
        last = sigma2[t - 1]
        sigma2[t] = constant + (reaction * shocks[t - 1] ** 2 + persistence) * last
    return np.sqrt(sigma2)
