"""The networks: an LSTM, the same with a graph attention layer over sectors, and StockMixer.

Letters: n instruments of a window, N of the panel.
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.baselines.inputs import CHANNELS
from benchmarks.baselines.panel import LAGS, Int64Array

with warnings.catch_warnings():
    # Its classes still use torch.jit, which torch deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import GATConv

_HIDDEN: Final = 64
_HEADS: Final = 4
_MARKET: Final = 8


class Lstm(nn.Module):
    """LSTM-64 and a linear head: (n, 16, 6) to (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(len(CHANNELS), _HIDDEN, batch_first=True)
        self.head = nn.Linear(_HIDDEN, 1)

    def forward(self, x: Tensor, instruments: Tensor) -> Tensor:
        """Score the instruments of one window, (n,)."""
        scores: Tensor = self.head(self.lstm(x)[0][:, -1])[:, 0]
        return scores


class SectorGat(nn.Module):
    """LSTM-64, a 4-head graph attention (Velickovic et al. 2018) over each sector's clique, both to the head.

    Parameters
    ----------
    sector
        (N,) codes, -1 where unknown: such an instrument attends to itself only.
    """

    def __init__(self, sector: Int64Array) -> None:
        super().__init__()
        self.sector = torch.from_numpy(np.where(sector < 0, -1 - np.arange(len(sector)), sector))
        self.lstm = nn.LSTM(len(CHANNELS), _HIDDEN, batch_first=True)
        self.attention = GATConv(_HIDDEN, _HIDDEN // _HEADS, heads=_HEADS, add_self_loops=False, bias=False)
        self.head = nn.Linear(2 * _HIDDEN, 1)

    def forward(self, x: Tensor, instruments: Tensor) -> Tensor:
        """Score the instruments of one window, (n,)."""
        hidden = self.lstm(x)[0][:, -1]
        sector = self.sector[instruments]
        edges = (sector[:, None] == sector[None]).nonzero().T
        message = nn.functional.elu(self.attention(hidden, edges))
        scores: Tensor = self.head(torch.cat([hidden, message], dim=1))[:, 0]
        return scores


class _CausalTime(nn.Module):
    """A linear map over time in which a bar sees those before it."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tril(torch.randn(steps, steps) / steps**0.5))
        self.bias = nn.Parameter(torch.zeros(steps))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, torch.tril(self.weight), self.bias)


class _TimeMixer(nn.Module):
    def __init__(self, steps: int, channels: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm([steps, channels])
        self.after = nn.LayerNorm([steps, channels])
        self.time = _CausalTime(steps)
        self.channels = nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.after(x + self.time(self.before(x).transpose(1, 2)).transpose(1, 2))
        return torch.as_tensor(mixed + self.channels(mixed))


class StockMixer(nn.Module):
    """StockMixer (Fan & Shen 2024) of scales 1 and 2; N is fixed, absent instruments enter as zeros.

    Parameters
    ----------
    count
        N.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        width, coarse = len(CHANNELS), LAGS // 2
        self.count = count
        self.halve = nn.Conv1d(width, width, kernel_size=2, stride=2)
        self.fine_mixer, self.coarse_mixer = _TimeMixer(LAGS, width), _TimeMixer(coarse, width)
        self.channel_head = nn.Linear(width, 1)
        self.stocks = nn.Sequential(
            nn.LayerNorm(count), nn.Linear(count, _MARKET), nn.Hardswish(), nn.Linear(_MARKET, count)
        )
        self.own_head, self.market_head = (nn.Linear(2 * LAGS + coarse, 1) for _ in range(2))

    def forward(self, x: Tensor, instruments: Tensor) -> Tensor:
        """Predict the returns of one window's instruments, (n,)."""
        whole = x.new_zeros(self.count, *x.shape[1:])
        whole[instruments] = x
        halved = self.halve(whole.transpose(1, 2)).transpose(1, 2)
        mixed = torch.cat([whole, self.fine_mixer(whole), self.coarse_mixer(halved)], dim=1)
        y = self.channel_head(mixed)[..., 0]
        z = self.stocks(y.T).T
        scores: Tensor = (self.own_head(y) + self.market_head(z))[:, 0]
        return scores[instruments]


def count_parameters(module: nn.Module) -> int:
    """Return the number of parameters that take part: of causal maps the lower triangle."""
    total = sum(parameter.numel() for parameter in module.parameters())
    for part in module.modules():
        if isinstance(part, _CausalTime):
            steps = len(part.bias)
            total -= steps * (steps - 1) // 2
    return total
