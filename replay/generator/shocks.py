"""Everything random that happens window by window, drawn before anything is computed from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from replay.generator.config import MarketConfig
from topics.types import BoolArray, Float32Array, Float64Array


@dataclass(frozen=True, slots=True)
class Shocks:
    """Independent draws; row t is of window t and of nothing else.

    Attributes
    ----------
    market
        (T,) Student's t of unit variance.
    sectors
        (T, S) likewise.
    idiosyncratic
        (T, N) likewise.
    closes_at_ask
        (T, N) bool, whether the last trade was a purchase.
    opens_at_ask
        (T, N) bool, whether the first was.
    gap
        (T, N) float32 standard normal: how the return before the open departs from its share.
    extremes
        (2, T, N) float32 in (0, 1]: how far the high and the low lie outside open and close.
    activity
        (T, N) float32 standard normal: volume.
    """

    market: Float64Array
    sectors: Float64Array
    idiosyncratic: Float64Array
    closes_at_ask: BoolArray
    opens_at_ask: BoolArray
    gap: Float32Array
    extremes: Float32Array
    activity: Float32Array


def draw_shocks(config: MarketConfig, seeds: np.random.SeedSequence) -> Shocks:
    """Draw them, each array from a stream of its own."""
    windows, shape = config.windows, (config.windows, config.instruments)
    streams = [np.random.default_rng(seed) for seed in seeds.spawn(8)]
    # Student's t has the variance tail / (tail - 2).
    unit = np.sqrt((config.tail - 2.0) / config.tail)
    return Shocks(
        market=streams[0].standard_t(config.tail, windows) * unit,
        sectors=streams[1].standard_t(config.tail, (windows, config.sectors)) * unit,
        idiosyncratic=streams[2].standard_t(config.tail, shape) * unit,
        closes_at_ask=streams[3].integers(0, 2, shape, dtype=np.uint8).astype(np.bool_),
        opens_at_ask=streams[4].integers(0, 2, shape, dtype=np.uint8).astype(np.bool_),
        gap=streams[5].standard_normal(shape, dtype=np.float32),
        extremes=1.0 - streams[6].random((2, *shape), dtype=np.float32),
        activity=streams[7].standard_normal(shape, dtype=np.float32),
    )
