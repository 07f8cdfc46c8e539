"""The protocol's inputs: the last 16 bars of six channels, causal, centered over the cross-section.

An instrument's window ends at each of its bars. On daily panels it has to be 17 days without a gap. Within a day
most instruments skip minutes, so there it is made of the last 17 bars that exist, however far back. Nothing is
ever filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines.panel import LAGS, BoolArray, FloatArray, Int64Array, Panel
from cs3g_model.features import RETURN_LIMIT

CHANNELS: Final = ("open", "high", "low", "close", "log_notional", "return")

_LIMIT: Final = 5.0
_LIMIT_OF_SCALE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of those instruments of each window that have them, window by window.

    Attributes
    ----------
    values
        (M, 16, 6) float16, oldest bar first.
    instruments
        (M,) int64 indices into N, ascending within a window.
    starts
        (T + 1,) int64: window t has rows starts[t] : starts[t + 1].
    scale
        (6,) float64, what the centered channels were divided by.
    """

    values: NDArray[np.float16]
    instruments: Int64Array
    starts: Int64Array
    scale: FloatArray

    def rows(self, t: int) -> slice:
        """Return the rows of window t."""
        return slice(int(self.starts[t]), int(self.starts[t + 1]))

    def window(self, t: int) -> NDArray[np.float32]:
        """Return the inputs of window t, (n, 16, 6) float32."""
        return self.values[self.rows(t)].astype(np.float32)


def known(panel: Panel) -> BoolArray:
    """Return (T, N) whether an instrument has inputs in a window."""
    count = np.zeros(len(panel.symbols), np.int64)
    out = np.zeros(panel.close.shape, np.bool_)
    for t, here in enumerate(panel.present):
        count = np.where(here, count + 1, count if panel.is_intraday else 0)
        out[t] = here & (count > LAGS)
    return out


def last_returns(panel: Panel) -> FloatArray:
    """Return (T, N) each bar's winsorized return from the instrument's bar before; NaN without one."""
    out = np.full(panel.close.shape, np.nan)
    last = np.full(len(panel.symbols), np.nan)
    for t, close in enumerate(panel.close):
        out[t] = np.clip(close / last - 1.0, -RETURN_LIMIT, RETURN_LIMIT)
        last = np.where(np.isfinite(close), close, last)
    return out


def build_inputs(panel: Panel, train: Int64Array) -> Inputs:
    """Build the inputs of every window.

    Parameters
    ----------
    panel
        Of the bars.
    train
        Windows whose root mean squares scale the channels.
    """
    channels = (panel.open, panel.high, panel.low, panel.close, panel.log_notional, last_returns(panel))
    usable, in_train = known(panel), np.zeros(len(panel.ts_open), np.bool_)
    in_train[train] = True
    recent = np.zeros((LAGS, len(panel.symbols)), np.int64)  # windows of each instrument's last bars
    rows: list[FloatArray] = []
    squares, n_train = np.zeros(len(CHANNELS)), 0
    scale = np.ones(len(CHANNELS))
    for t, here in enumerate(panel.present):
        recent[:, here] = np.concatenate([recent[1:, here], np.full((1, int(here.sum())), t)])
        n = np.flatnonzero(usable[t])
        x = np.stack([channel[recent[:, n], n].T for channel in channels], axis=2)
        x[:, :, :4] = x[:, :, :4] / x[:, -1:, 3:4] - 1.0
        volume = x[:, :, 4]
        spread = volume.std(axis=1, keepdims=True) + 1e-6
        x[:, :, 4] = (volume - volume.mean(axis=1, keepdims=True)) / spread
        if len(n):
            x -= x.mean(axis=0, keepdims=True)
            if in_train[t]:
                squares += (np.clip(x, -_LIMIT_OF_SCALE, _LIMIT_OF_SCALE) ** 2).mean(axis=(0, 1))
                n_train += 1
        rows.append(x)
    if n_train:
        scale = np.maximum(np.sqrt(squares / n_train), 1e-12)
    values = np.concatenate([np.clip(x / scale, -_LIMIT, _LIMIT).astype(np.float16) for x in rows])
    counts = usable.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Inputs(values, np.nonzero(usable)[1], starts, scale)
