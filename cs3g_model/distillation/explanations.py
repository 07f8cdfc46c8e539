"""Which inputs a teacher goes by, and steadily: the keywords of explanation-based bias decoupling.

EBD-Reg (Zang & Liu 2024, arXiv 2404.13390) takes a person's explanation for keywords and calls the other tokens
bias. Nobody explains a market, so stability stands for explanation: an input is a keyword where it is among
those that move a frozen teacher's scores most, in the same direction in adjacent windows, and for several
teachers where there are several. The rest is what a student may latch onto without reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from cs3g_model.inputs import SnapshotTensors, State

__all__ = ["attributions", "keyword_mask", "sensitivities"]


def sensitivities(
    model: nn.Module, x: SnapshotTensors, state: State, *, create_graph: bool = False
) -> Tensor:
    """Compute d sum(scores) / d features of a run by one backward pass, (T, N, F).

    The sum runs over the run's instruments and windows: what an input does to other instruments' scores and to
    later ones of its own is in it, up to the end of the run.

    Parameters
    ----------
    model
        Teacher or student; its mode (training or not) is the caller's.
    x, state
        The run and the state before it.
    create_graph
        Keep the graph, so that a loss of the result has a gradient in the model's parameters.
    """
    features = x.features.detach().requires_grad_()
    with torch.enable_grad():
        output, _ = model(replace(x, features=features), state)
        (gradient,) = torch.autograd.grad(output.scores.sum(), features, create_graph=create_graph)
    return gradient


def attributions(features: Tensor, sensitivity: Tensor) -> Tensor:
    """Return g = x * d score / d x, (T, N, F), against the baseline 0, the cross-section's center."""
    return features * sensitivity


def keyword_mask(
    features: Tensor,
    sensitivities: Sequence[Tensor],
    mask: Tensor,
    *,
    share: float = 0.25,
    agreeing: int | None = None,
) -> Tensor:
    """Mark the stable entries, M (T, N, F) bool.

    For each teacher an entry is prominent in a window where |x * d score / d x| is among the window's ceil(q n F)
    largest and not 0, n being the instruments present. It is steady where it is prominent in that window and
    in an adjacent one and d score / d x has the same sign in both. It is a keyword where enough teachers find it
    steady with the same sign.

    The sign is the sensitivity's, not the attribution's: a return changes its own sign from window to window at
    random, and with it the attribution of a model that steadily trades against it.

    Parameters
    ----------
    features
        (T, N, F), consecutive windows.
    sensitivities
        Of each teacher, (T, N, F).
    mask
        (T, N) bool, who is present.
    share
        q in (0, 1].
    agreeing
        Teachers that must agree; all of them for None.
    """
    votes = torch.zeros_like(features, dtype=torch.int32)
    for sensitivity in sensitivities:
        votes += _steady_signs(features, sensitivity, mask, share)
    return votes.abs() >= (len(sensitivities) if agreeing is None else agreeing)


def _steady_signs(features: Tensor, sensitivity: Tensor, mask: Tensor, share: float) -> Tensor:
    """Return the sign of the sensitivity where the entry is steady, else 0; int32."""
    T, N, F = features.shape
    size = torch.where(mask[..., None], attributions(features, sensitivity).abs(), 0.0).view(T, N * F)
    wanted = torch.ceil(share * mask.sum(1) * F).long().clamp(1, N * F)
    least = size.sort(dim=1, descending=True).values.gather(1, wanted[:, None] - 1)
    prominent = (size >= least) & (size > 0)
    signs = torch.where(prominent, sensitivity.sign().view(T, N * F).int(), 0)
    steady = torch.zeros_like(signs)
    same = (signs[1:] == signs[:-1]) & (signs[1:] != 0)
    steady[1:] = torch.where(same, signs[1:], 0)
    steady[:-1] = torch.where(same, signs[:-1], steady[:-1])
    return steady.view(T, N, F)
