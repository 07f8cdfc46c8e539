"""Who moves whose score: the edges that a model uses, whatever parts of it they come from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cs3g_model.inputs import SnapshotTensors, State
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher

__all__ = ["influence"]


def influence(
    model: Teacher | Student, x: SnapshotTensors, state: State, feature: int = 0
) -> NDArray[np.float32]:
    """Differentiate each score of a window by a feature of each instrument, d score_i / d x_j.

    Learned graph, relations and low-rank mixing all enter, in the strength in which they act. Of an edge of
    the market it tells whether the model uses it; attention weights tell only what one of several parts does.

    Parameters
    ----------
    model
        In evaluation mode.
    x
        One window, T = 1.
    state
        Before the window.
    feature
        Place in F of the feature that is moved, 0 for the return.

    Returns
    -------
    (N, N) float32, row the instrument that is scored, column the one that is moved; N backward passes.
    """
    features = x.features.detach().clone().requires_grad_()
    moved = SnapshotTensors(features, x.mask, x.sector, x.neighbors, x.neighbor_weights, x.relations)
    scores = model(moved, state)[0].scores[0]
    rows = [torch.autograd.grad(s, features, retain_graph=True)[0][0, :, feature] for s in scores.unbind(0)]
    return torch.stack(rows).numpy()
