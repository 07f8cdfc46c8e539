"""What a fit to labels minimizes: a weighted sum of losses over the instruments of each window.

    L = squared L_mse + pairwise L_pair + listwise L_list + ic L_ic + likelihood L_nll + dispersion L_disp

Each weight is a field of `TrainConfig`; a loss of weight 0 is not computed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cs3g_model.config import TargetMode, TrainConfig
from cs3g_model.errors import TrainingError
from cs3g_model.inputs import ModelOutput
from cs3g_model.losses import (
    gaussian_nll,
    gaussian_rank,
    ic_loss,
    listwise_loss,
    mean_over_windows,
    pairwise_loss,
    squared_error,
    zscore,
)
from cs3g_model.training.batch import Batch, Objective

__all__ = ["LabelObjective", "likelihood_loss", "standardize"]


def likelihood_loss(scores: Tensor, log_dispersion: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean over windows of mean_i [log sigma_i + (y_i - s_i)^2 / (2 sigma_i^2)] (Nix & Weigend 1994).

    Unlike `losses.gaussian_nll` it teaches the scores as well: instruments of large error count less.

    Parameters
    ----------
    scores, log_dispersion, targets
        (T, N); log sigma is clipped to [-5, 5].
    mask
        (T, N) bool. A window with fewer than two instruments adds nothing.
    """
    log_sigma = log_dispersion.clamp(-5.0, 5.0)
    terms = log_sigma + 0.5 * (targets - scores).square() * torch.exp(-2 * log_sigma)
    return mean_over_windows(terms, mask)


class LabelObjective(Objective):
    """The sum above, of the labels as standardized by `TrainConfig.target`.

    Parameters
    ----------
    labels
        (T, N) returns of the training windows.
    scored
        (T, N) bool, which of them count.
    config
        Weights of the losses.
    """

    def __init__(self, labels: NDArray[np.float32], scored: NDArray[np.bool_], config: TrainConfig) -> None:
        self.config = config
        self.targets = standardize(labels, scored, config.target)

    def __call__(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Return the loss of the batch's windows.

        Raises
        ------
        TrainingError
            If every loss has weight 0.
        """
        c, s, mask = self.config, output.scores, batch.mask
        y = self.targets[batch.start : batch.stop].to(s.device)
        terms: list[Tensor] = []
        if c.squared:
            terms.append(c.squared * squared_error(s, y, mask))
        if c.pairwise:
            terms.append(c.pairwise * pairwise_loss(s, y, mask))
        if c.listwise:
            terms.append(c.listwise * listwise_loss(s, y, mask, c.listwise_temperature))
        if c.ic:
            terms.append(c.ic * ic_loss(s, y, mask))
        if output.log_dispersion is not None:
            if c.likelihood:
                terms.append(c.likelihood * likelihood_loss(s, output.log_dispersion, y, mask))
            if c.dispersion:
                terms.append(c.dispersion * gaussian_nll(s, output.log_dispersion, y, mask))
        if not terms:
            raise TrainingError(
                "every loss that this model can have is 0: raise `squared`, `pairwise`, `listwise` or `ic`"
            )
        return torch.stack(terms).sum() if len(terms) > 1 else terms[0]


def standardize(labels: NDArray[np.float32], scored: NDArray[np.bool_], target: TargetMode) -> Tensor:
    """Turn returns (T, N) into what the scores are fitted to, (T, N) float32; 0 where not scored."""
    mask = torch.tensor(scored)
    y = torch.tensor(np.where(scored, labels, 0.0), dtype=torch.float32)
    return zscore(y, mask) if target == "zscore" else gaussian_rank(y, mask)
