"""The selective state-space model that runs along time in each instrument (Gu & Dao 2023, arXiv 2312.00752).

    h[t] = exp(delta A) h[t-1] + (exp(delta A) - 1) / A * B[t] u[t],    y[t] = g <C[t], h[t]> + D u[t]

The exact zero-order hold, where Mamba simplifies B's side to Euler's delta B. A = -exp(A_log) < 0 and
delta = softplus(.) > 0 keep 0 < exp(delta A) < 1 for ever. delta = 0 for an absent instrument, which makes
its step an exact no-op. Shapes: u, delta (T, N, D); A (D, S); B, C (T, N, S); h (N, D, S).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from cs3g_model.constants import SMALL_GAIN

__all__ = ["SelectiveSSM", "discretize_zoh", "selective_scan", "selective_scan_ref"]


def discretize_zoh(delta: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
    """Return exp(delta A) and (exp(delta A) - 1) / A, both (..., D, S), of delta (..., D) and A (D, S)."""
    z = delta[..., None] * A
    return torch.exp(z), torch.expm1(z) / A


def selective_scan_ref(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the recurrence as it is written, one window at a time.

    Returns
    -------
    tuple[Tensor, Tensor]
        y (T, N, D) and the last h (N, D, S).
    """
    ys = []
    for t in range(u.shape[0]):
        a, b = discretize_zoh(delta[t], A)  # (N, D, S)
        h = a * h + b * B[t][:, None, :] * u[t][:, :, None]
        ys.append((h * C[t][:, None, :]).sum(-1) + D * u[t])
    return torch.stack(ys), h


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `selective_scan_ref` with all but the recurrence itself done for the whole run at once.

    Instruments lie last meanwhile, (T, S, D, N): every broadcast then runs along memory.
    """
    v, delta, B, C = (x.transpose(1, 2).contiguous() for x in (u, delta, B, C))  # (T, D, N), (T, S, N)
    A = A.t()[:, :, None]  # (S, D, 1)
    b = torch.expm1(delta[:, None] * A)
    a = b + 1  # exp(delta A), without a second exponential
    b = b * (B[:, :, None] * v[:, None] / A)
    h = h.permute(2, 1, 0).contiguous()
    hs = []
    for a_t, b_t in zip(a.unbind(0), b.unbind(0), strict=True):
        h = torch.addcmul(b_t, a_t, h)
        hs.append(h)
    y = (torch.stack(hs) * C[:, :, None]).sum(1)
    return y.transpose(1, 2) + D * u, h.permute(2, 1, 0)


class SelectiveSSM(nn.Module):
    """Projections and parameters around the scan.

    Parameters
    ----------
    width
        D of input and output.
    state_size
        S per channel.
    tied
        Give a channel's S states the rates a, 2 a, ..., S a with one learned a, instead of S learned ones.
    gain
        Where the learned gain g of the memory starts.
    delta_range
        delta's bias is drawn log-uniformly from here: time constants from a few windows to many.
    """

    def __init__(
        self,
        width: int,
        state_size: int,
        *,
        tied: bool = False,
        gain: float = SMALL_GAIN,
        delta_range: tuple[float, float] = (0.02, 0.5),
    ) -> None:
        super().__init__()
        self.width = width
        self.state_size = state_size
        self.rates: Tensor
        self.delta = nn.Linear(width, width)
        self.B = nn.Linear(width, state_size, bias=False)
        self.C = nn.Linear(width, state_size, bias=False)
        rates = torch.arange(1.0, state_size + 1)
        self.register_buffer("rates", rates if tied else torch.ones(1), persistent=False)
        self.A_log = nn.Parameter(torch.log(torch.ones(1) if tied else rates).repeat(width, 1))
        self.D = nn.Parameter(torch.ones(width))
        self.gain = nn.Parameter(torch.full((state_size,), gain))
        low, high = (math.log(v) for v in delta_range)
        with torch.no_grad():
            delta = torch.exp(torch.empty(width).uniform_(low, high))
            self.delta.bias.copy_(delta + torch.log(-torch.expm1(-delta)))
            self.delta.weight.mul_(0.1)

    def forward(self, u: Tensor, mask: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Run over u (T, N, D) from h (N, D, S); mask (T, N) bool freezes the absent."""
        delta = functional.softplus(self.delta(u)) * mask[..., None]
        A = -torch.exp(self.A_log) * self.rates
        return selective_scan(u, delta, A, self.B(u), self.gain * self.C(u), self.D, h)

    def step(self, u: Tensor, mask: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Run over one window: u (N, D), mask (N,)."""
        y, h = self.forward(u[None], mask[None], h)
        return y[0], h
