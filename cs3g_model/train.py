"""The names of `cs3g_model.training` under the path which they had before."""

from __future__ import annotations

from cs3g_model.training.batch import Batch, Objective
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.loop import fit, train
from cs3g_model.training.options import FitResult, Progress
from cs3g_model.training.validation import run_module

__all__ = ["Batch", "FitResult", "LabelObjective", "Objective", "Progress", "fit", "run_module", "train"]
