"""Causal undecimated ("à trous") Haar filter bank over each instrument's own observed windows.

    s_0 = x,   s_l[t] = (s_{l-1}[t] + s_{l-1}[t - 2^(l-1)]) / 2,   d_l = s_{l-1} - s_l

so that x = d_1 + ... + d_L + s_L. Time counts the windows in which the instrument was present: an absent
instrument's buffer is frozen, never filled with zeros. Before the first window the past is 0, the
neutral value of a cross-sectionally normalized feature. Details are soft-thresholded,
sign(d) max(|d| - lambda, 0) (Donoho & Johnstone 1994).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cs3g_model.config import ThresholdMode
from cs3g_model.constants import SMALL_GAIN

__all__ = ["BandProjection", "CausalHaarBank"]

_NOISE_DECAY = 0.97
_ABS_TO_SIGMA = math.sqrt(math.pi / 2)  # E|d| of a Gaussian is sigma sqrt(2 / pi)

State = dict[str, Tensor]


def soft_threshold(d: Tensor, threshold: Tensor) -> Tensor:
    """Shrink `d` towards 0 by `threshold`."""
    return d - torch.clamp(d, -threshold, threshold)


class CausalHaarBank(nn.Module):
    """The bank with its threshold.

    Parameters
    ----------
    n_features
        F.
    levels
        L; 0 makes the bank the identity.
    threshold
        "none"; "learned": one lambda >= 0 per level and feature; "universal": sigma sqrt(2 ln 2^L) with
        sigma a running mean of |d| per instrument, the streaming stand-in for the MAD estimate.
    """

    def __init__(self, n_features: int, levels: int, threshold: ThresholdMode) -> None:
        super().__init__()
        self.n_features = n_features
        self.levels = levels
        self.mode: ThresholdMode = threshold if levels else "none"
        self.n_bands = (levels + 1) * n_features
        if self.mode == "learned":
            self.threshold = nn.Parameter(torch.full((levels, n_features), 0.05))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state's tensors without their leading N."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.levels:
            shapes["haar"] = (2**self.levels - 1, self.n_features)
        if self.mode == "universal":
            shapes["noise"] = (self.levels, self.n_features)
        return shapes

    def forward(self, x: Tensor, mask: Tensor, state: State) -> tuple[Tensor, State]:
        """Filter a run.

        Parameters
        ----------
        x
            (T, N, F).
        mask
            (T, N) bool.
        state
            Tensors of `state_shapes`, each with a leading N. Rows [2^(l-1) - 1, 2^l - 1) of "haar" hold the
            last 2^(l-1) values of s_{l-1}, oldest first.

        Returns
        -------
        tuple[Tensor, State]
            Bands (T, N, (L + 1) F): details from fine to coarse, then the smooth; and the new state.
        """
        if not self.levels:
            return x, {}
        T = x.shape[0]
        # Move every instrument's observed windows to the front, so that a lag counts observations.
        order = torch.argsort((~mask).to(torch.uint8), dim=0, stable=True)
        inverse = torch.argsort(order, dim=0, stable=True)
        count = mask.sum(0)  # (N,)
        smooth = x.gather(0, order[..., None].expand_as(x))  # (T, N, F)
        details, buffers = [], []
        for level in range(1, self.levels + 1):
            lag = 2 ** (level - 1)
            padded = torch.cat(
                [state["haar"][:, lag - 1 : 2 * lag - 1].transpose(0, 1), smooth]
            )  # (lag + T, N, F)
            rows = count[None, :] + torch.arange(lag, device=x.device)[:, None]  # (lag, N)
            buffers.append(padded.gather(0, rows[..., None].expand(-1, -1, x.shape[2])))
            coarse = 0.5 * (smooth + padded[:T])
            details.append(smooth - coarse)
            smooth = coarse
        after = {"haar": torch.cat(buffers).transpose(0, 1)}
        d = torch.stack(details, dim=2)  # (T, N, L, F)
        if self.mode == "learned":
            d = soft_threshold(d, self.threshold.clamp_min(0.0))
        elif self.mode == "universal":
            sigma, after["noise"] = self._noise(d, count, state["noise"])
            d = soft_threshold(d, sigma * math.sqrt(2 * math.log(2**self.levels)))
        bands = torch.cat([d.flatten(2), smooth], dim=2)  # (T, N, (L + 1) F)
        return bands.gather(0, inverse[..., None].expand_as(bands)), after

    def step(self, x: Tensor, mask: Tensor, state: State) -> tuple[Tensor, State]:
        """Filter one window: `forward` with x (N, F) and mask (N,)."""
        bands, after = self.forward(x[None], mask[None], state)
        return bands[0], after

    def _noise(self, d: Tensor, count: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        sigmas, n = [], noise  # d is in compact order: row t is observed iff t < count
        for t in range(d.shape[0]):
            observed = (t < count)[:, None, None]
            n = torch.where(observed, _NOISE_DECAY * n + (1 - _NOISE_DECAY) * d[t].abs().detach(), n)
            sigmas.append(n * _ABS_TO_SIGMA)
        return torch.stack(sigmas), n


class BandProjection(nn.Module):
    """W (sum of the bands) + g * V bands + b: the denoised features, and by a learned gain each band.

    Parameters
    ----------
    n_features, n_bands
        F and (L + 1) F.
    width
        D of the output.
    """

    def __init__(self, n_features: int, n_bands: int, width: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.whole = nn.Linear(n_features, width)
        if n_bands > n_features:
            self.bands = nn.Linear(n_bands, width, bias=False)
            self.gain = nn.Parameter(torch.full((width,), SMALL_GAIN))

    def forward(self, bands: Tensor) -> Tensor:
        """Project bands (..., (L + 1) F) to (..., D)."""
        out: Tensor = self.whole(bands.view(*bands.shape[:-1], -1, self.n_features).sum(-2))
        if bands.shape[-1] > self.n_features:
            out = out + self.gain * self.bands(bands)
        return out
