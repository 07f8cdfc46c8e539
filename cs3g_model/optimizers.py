"""LAMB, an optimizer that scales each tensor's step by the tensor's own size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cs3g_model.errors import ConfigError

__all__ = ["Lamb"]


class Lamb(Optimizer):
    """Layer-wise adaptive moments (You et al. 2020, arXiv 1904.00962).

        m = b1 m + (1 - b1) g,    v = b2 v + (1 - b2) g^2
        r = (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + eps)
        w = w - lr phi(|w|) / |r + decay w| (r + decay w),    phi(z) = min(z, max_norm)

    with k the number of the tensor's updates and |.| the norm over the tensor. The ratio is 1 where either
    norm is 0, so that weights which start at 0 can leave it.

    Parameters
    ----------
    parameters
        Tensors, or groups as in every torch optimizer.
    lr
        Learning rate.
    betas
        b1 and b2, each in [0, 1).
    eps
        Above 0.
    weight_decay
        decay, at least 0.
    max_norm
        phi's limit, above 0.

    Raises
    ------
    ConfigError
        If a setting breaks its rule.
    """

    def __init__(
        self,
        parameters: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        max_norm: float = 10.0,
    ) -> None:
        rules = {
            "lr": (lr, lr > 0, "above 0"),
            "betas": (betas, all(0 <= b < 1 for b in betas), "in [0, 1)"),
            "eps": (eps, eps > 0, "above 0"),
            "weight_decay": (weight_decay, weight_decay >= 0, "at least 0"),
            "max_norm": (max_norm, max_norm > 0, "above 0"),
        }
        for name, (value, holds, rule) in rules.items():
            if not holds:
                raise ConfigError(f"`{name}` (={value!r}) must be {rule}")
        super().__init__(
            parameters,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "max_norm": max_norm},
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every tensor that has a gradient; returns what the closure, if any, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, p.grad, group)
        return loss

    def _update(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(p)
            state["square"] = torch.zeros_like(p)
        state["step"] += 1
        b1, b2 = group["betas"]
        mean, square = state["mean"], state["square"]
        mean.lerp_(gradient, 1 - b1)
        square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        deviation = (square / (1 - b2 ** state["step"])).sqrt_().add_(group["eps"])
        update = (mean / (1 - b1 ** state["step"])).div_(deviation)
        if group["weight_decay"]:
            update.add_(p, alpha=group["weight_decay"])
        size, length = p.norm(), update.norm()
        ratio = torch.where((size > 0) & (length > 0), size.clamp_max(group["max_norm"]) / length, 1.0)
        p.sub_(update * (group["lr"] * ratio))
