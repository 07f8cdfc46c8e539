"""Small markets and scores."""

from __future__ import annotations

import numpy as np

from cs3g.ab.market import Market
from cs3g.ab.scores import ModelScores
from cs3g_model.artifacts import list_artifacts
from cs3g_model.manifest import Manifest
from topics.types import NANOS_PER_DAY, UNDEF_PRICE

T, N = 60, 12
DAY_ZERO = 18_000 * NANOS_PER_DAY
MANIFESTS: dict[str, Manifest] = {found.role: found for _, found in list_artifacts()}


def make_market(
    seed: int = 0, t: int = T, n: int = N, *, missing: float = 0.0, sectors: int = 2, drift: float = 0.0
) -> Market:
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(drift + 0.02 * rng.standard_normal((t, n)), axis=0))
    close = np.rint(prices * 1e9).astype(np.int64)
    close[rng.random((t, n)) < missing] = UNDEF_PRICE
    return Market(
        size_ns=NANOS_PER_DAY,
        ts_close=DAY_ZERO + NANOS_PER_DAY * np.arange(1, t + 1, dtype=np.int64),
        instrument_ids=np.arange(1, n + 1, dtype=np.uint32),
        symbols=tuple(f"S{i:02d}" for i in range(n)),
        sector=(np.arange(n) % sectors).astype(np.int16),
        close=close,
        sector_names=tuple(f"sector {letter}" for letter in "ABCDEF"[:sectors]),
    )


def make_scores(name: str, scores: np.ndarray, *, warmup: int = 0, role: str | None = None) -> ModelScores:
    manifest = MANIFESTS[role or (name if name in MANIFESTS else "student")]
    return ModelScores(name, manifest, scores, np.arange(len(scores)) < warmup, f"sha256:{name}")


def random_scores(name: str, market: Market, seed: int = 1, *, warmup: int = 5) -> ModelScores:
    values = np.random.default_rng(seed).standard_normal(market.close.shape)
    return make_scores(name, values, warmup=warmup)


def future_returns(market: Market) -> np.ndarray:
    """Return the label, (T, N): NaN in the last window."""
    prices = market.panel().prices
    labels = np.full(prices.shape, np.nan)
    labels[:-1] = np.clip(prices[1:] / prices[:-1] - 1, -0.4, 0.4)
    return labels
