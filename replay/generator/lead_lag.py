"""The planted graph: who follows whom, how strongly, and when that changes.

Leaders are drawn from the instruments, larger ones rather than smaller; all the others that follow have a few
of them, some of their own sector. At a change of regime a share of the followers gets new leaders and new
weights. In between every weight wanders: it is interpolated between values drawn `drift_windows` apart, and
held for `drift_step` windows, so that the list of edges is the truth and not an approximation of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from replay.generator.config import MarketConfig
from topics.types import Float64Array, Int64Array

_LARGE_LEAD: Final = 2.0  # of two instruments, the one e times larger is drawn e^2 times as readily
_MOST_EXPLAINED: Final = 0.9


class Edge(NamedTuple):
    """In windows [window_start, window_stop) the destination's next return follows the source's."""

    window_start: int
    window_stop: int
    source: int
    destination: int
    weight: float


@dataclass(frozen=True, slots=True)
class LeadLag:
    """A lead-lag graph over T windows: segments s of constant weights, F followers, K leaders each.

    Attributes
    ----------
    starts
        (S + 1,) int64, first window of each segment, and T.
    regimes
        (S,) int64, regime of each segment.
    followers
        (F,) int64, their instruments, ascending.
    sources
        (R, F, K) int64, the leaders' instruments in each regime.
    weights
        (S, F, K) float64, what one standard deviation of the leader in window t moves the follower's
        expectation in t + 1, in its own; the squares over K sum to 0.9 at most.
    """

    starts: Int64Array
    regimes: Int64Array
    followers: Int64Array
    sources: Int64Array
    weights: Float64Array

    def segment(self, t: int) -> int:
        """Return the segment that window t lies in."""
        return int(np.searchsorted(self.starts, t, side="right")) - 1

    def sources_at(self, t: int) -> Int64Array:
        """Return the leaders in window t, (F, K)."""
        return np.asarray(self.sources[self.regimes[self.segment(t)]])

    def adjacency(self, t: int, instruments: int) -> Float64Array:
        """Return the weights in window t, (N, N): row the follower, column the leader, 0 without an edge."""
        dense = np.zeros((instruments, instruments))
        dense[self.followers[:, None], self.sources_at(t)] = self.weights[self.segment(t)]
        return dense

    def edges(self) -> Iterator[Edge]:
        """Yield every edge of every segment, by segment, destination, source."""
        for s in range(len(self.regimes)):
            sources = self.sources[self.regimes[s]]
            for f, destination in enumerate(self.followers.tolist()):
                for k in np.argsort(sources[f]).tolist():
                    yield Edge(
                        int(self.starts[s]),
                        int(self.starts[s + 1]),
                        int(sources[f, k]),
                        destination,
                        float(self.weights[s, f, k]),
                    )


def plant(
    config: MarketConfig, sector: Int64Array, log_size: Float64Array, generator: np.random.Generator
) -> LeadLag:
    """Draw a graph.

    Parameters
    ----------
    config
        Of the market.
    sector
        (N,) codes.
    log_size
        (N,) logarithm of each instrument's size.
    generator
        Decides.
    """
    count = config.instruments
    n_leaders = count - int(config.followers * count)
    # Two at least, so that there is another to change to; but one of two instruments.
    n_leaders = max(n_leaders, min(2, count - 1), 1) if config.followers > 0 else count
    readiness = _LARGE_LEAD * log_size + generator.gumbel(size=count)
    ranked = np.argsort(-readiness, kind="stable")
    pool, followers = np.sort(ranked[:n_leaders]), np.sort(ranked[n_leaders:])
    n_followers = len(followers)
    # Half of the pool at most, so that there are always others to change to.
    degree = max(1, min(config.leaders, n_leaders // 2)) if n_followers else 0
    changes = config.change_windows
    sources = np.zeros((len(changes) + 1, n_followers, degree), np.int64)
    base = np.zeros((len(changes) + 1, n_followers, degree))
    for f in range(n_followers):
        sources[0, f] = _draw_leaders(
            config, followers[f], degree, pool, sector, sources[0, f, :0], generator
        )
    base[0] = _draw_weights(config, (n_followers, degree), generator)
    for r in range(1, len(sources)):
        sources[r], base[r] = sources[r - 1], base[r - 1]
        moved = np.sort(generator.permutation(n_followers)[: int(config.rewired * n_followers)])
        if len(pool) < 2 * degree:
            continue
        for f in moved.tolist():
            old = sources[r - 1, f]
            sources[r, f] = _draw_leaders(config, followers[f], degree, pool, sector, old, generator)
        base[r, moved] = _draw_weights(config, (len(moved), degree), generator)
    starts = np.unique([*range(0, config.windows, config.drift_step), *changes, config.windows])
    regimes = np.searchsorted(changes, starts[:-1], side="right")
    weights = base[regimes] * _drift(config, starts[:-1], (n_followers, degree), generator)
    explained = (weights**2).sum(axis=2, keepdims=True)
    weights *= np.sqrt(_MOST_EXPLAINED / np.maximum(explained, _MOST_EXPLAINED))
    return LeadLag(starts, regimes, followers, sources, weights)


def _draw_leaders(
    config: MarketConfig,
    follower: int,
    count: int,
    pool: Int64Array,
    sector: Int64Array,
    avoid: Int64Array,
    generator: np.random.Generator,
) -> Int64Array:
    free = np.setdiff1d(pool, avoid)
    drawn = np.zeros(count, np.int64)
    for k in range(count):
        own = free[sector[free] == sector[follower]]
        inside = generator.random() < config.in_sector and len(own) > 0
        drawn[k] = generator.choice(own if inside else free)
        free = free[free != drawn[k]]
    return drawn


def _draw_weights(
    config: MarketConfig, shape: tuple[int, int], generator: np.random.Generator
) -> Float64Array:
    magnitude = generator.uniform(*config.strength, shape)
    return np.where(generator.random(shape) < config.negative, -magnitude, magnitude)


def _drift(
    config: MarketConfig, at: Int64Array, shape: tuple[int, int], generator: np.random.Generator
) -> Float64Array:
    """Return the factor of every weight at the windows `at`, (S, F, K), in 1 +- 2 drift."""
    knots = generator.standard_normal((config.windows // config.drift_windows + 2, *shape))
    before, share = np.divmod(at / config.drift_windows, 1.0)
    index = before.astype(np.int64)
    share = (share * share * (3.0 - 2.0 * share))[:, None, None]
    value = (1.0 - share) * knots[index] + share * knots[index + 1]
    return np.asarray(1.0 + config.drift * np.clip(value, -2.0, 2.0))
