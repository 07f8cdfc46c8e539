"""How a fit is run, what it tells on its way, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cs3g_model.training.place import CPU, Place
from cs3g_model.training.ranks import ALONE, Ranks

__all__ = ["Extent", "FitResult", "OnProgress", "Progress", "RunOptions"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where a fit runs and what it leaves behind.

    The place and the number of ranks decide the result's bits; nothing else here does.

    Attributes
    ----------
    place
        Device and arithmetic.
    ranks
        Processes that share the fit's date blocks.
    checkpoint
        Folder of the checkpoint, for this fit alone; None writes none.
    resume
        Go on from the checkpoint if there is one; without it a checkpoint in the folder is an error.
    checkpoint_every_s
        Seconds between two checkpoints; each validation makes one as well.
    metrics
        JSON lines file of the fit's progress; None writes none.
    metrics_every
        Updates between two of its lines; each validation makes one as well.
    identity
        What else decides the fit, such as the id of a teacher: a checkpoint of another identity is refused.
    """

    place: Place = CPU
    ranks: Ranks = ALONE
    checkpoint: Path | None = None
    resume: bool = False
    checkpoint_every_s: float = 60.0
    metrics: Path | None = None
    metrics_every: int = 20
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a fit goes on and which weights it returns; a stage of several is cut short and goes on.

    Attributes
    ----------
    updates
        Updates to make (>= 1), also a part of an epoch; None makes `TrainConfig.epochs` whole epochs.
    keeps_last
        Return the last running average of the weights, unjudged, instead of the one that validates best: for
        objectives in which the scores have no part.
    """

    updates: int | None = None
    keeps_last: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fit stands, handed to the progress callback after every update."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    valid_rank_ic: float
    remaining_s: float


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class FitResult:
    """The chosen weights, and how the fit went.

    Attributes
    ----------
    tensors
        Named float32 arrays.
    losses, valid_rank_ics
        Mean training loss since the check before, and mean rank IC on the validation windows, of each
        check; without validation windows the negative loss stands for it.
    best_check
        Index of the check whose weights were kept.
    """

    tensors: dict[str, NDArray[np.float32]]
    losses: list[float]
    valid_rank_ics: list[float]
    best_check: int
