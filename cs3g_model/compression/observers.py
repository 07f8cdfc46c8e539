"""8-bit inputs of linear layers: their range is learned while training, and fixed afterwards.

    q = clamp(round(x / scale), -zero, 255 - zero),    value = q scale

after Jacob et al. 2018 (arXiv 1712.05877): the range is a running mean of each update's least and largest
value, and rounding starts some updates later, when the range has settled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cs3g_model.compression.layout import INPUT_LEVELS
from cs3g_model.compression.quantizers import bfloat16_up, straight_through
from cs3g_model.errors import CompressionError

__all__ = ["Observer"]


_SMALLEST = 2.0**-100


class Observer(nn.Module):
    """Watches one input, and rounds it.

    Parameters
    ----------
    decay
        Of the running range, per update.
    delay
        Updates that only watch.
    """

    def __init__(self, decay: float = 0.99, delay: int = 0) -> None:
        super().__init__()
        self.decay = decay
        self.delay = delay
        self.low: Tensor
        self.high: Tensor
        self.updates: Tensor
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.float32))

    @torch.no_grad()
    def observe(self, x: Tensor, mask: Tensor) -> None:
        """Move the range towards that of x (T, N, C) where mask (T, N) is set."""
        seen = x[mask]
        if not seen.numel():
            return
        # A mean of the first updates, then a running one: no start value to forget.
        share = max(1.0 - self.decay, 1.0 / (float(self.updates) + 1.0))
        self.low.lerp_(seen.min().clamp_max(0.0), share)
        self.high.lerp_(seen.max().clamp_min(0.0), share)
        self.updates += 1

    @property
    def is_rounding(self) -> bool:
        """Whether `forward` rounds: in training after the delay, else once anything was seen."""
        return float(self.updates) > (self.delay if self.training else 0)

    def grid(self) -> tuple[float, int]:
        """Return the scale, a bfloat16 number, and the code of 0 in 0..255.

        Raises
        ------
        CompressionError
            If nothing was seen.
        """
        if not float(self.updates):
            raise CompressionError(
                "an input of a linear layer was never observed: train for at least one update"
            )
        scale = self._scale()
        return float(scale), int((-self.low / scale).round())

    def forward(self, x: Tensor) -> Tensor:
        """Round x of any shape; the gradient passes where x is in range."""
        if not self.is_rounding:
            return x
        scale = self._scale()
        zero = (-self.low / scale).round()
        q = (x.detach() * (1.0 / scale)).round()
        value = torch.minimum(torch.maximum(q, -zero), INPUT_LEVELS - zero) * scale
        within = (q >= -zero) & (q <= INPUT_LEVELS - zero)
        return torch.where(within, straight_through(x, value), value)

    def _scale(self) -> Tensor:
        return bfloat16_up(((self.high - self.low) / INPUT_LEVELS).clamp_min(_SMALLEST))
