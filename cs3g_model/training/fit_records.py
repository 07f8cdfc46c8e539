"""What a fit under way leaves behind: its checkpoint, its metrics, and word of where it stands."""

from __future__ import annotations

import math
import time

from cs3g_model.config import TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import CheckpointError
from cs3g_model.training.checkpoint import fingerprint, has_checkpoint, read_checkpoint, write_checkpoint
from cs3g_model.training.fit_state import FitState
from cs3g_model.training.metrics_log import MetricsLog
from cs3g_model.training.options import Extent, Progress, RunOptions
from cs3g_model.training.validation import Model

__all__ = ["FitRecords", "fit_identity"]


def fit_identity(
    model: Model, data: LabeledSnapshots, settings: TrainConfig, options: RunOptions, extent: Extent
) -> str:
    """Return what tells a fit from every other one, by its fresh model; "" if no checkpoint asks for it."""
    if options.checkpoint is None:
        return ""
    place = options.place
    extra = [options.identity, str(options.ranks.size), place.device.type, str(place.bf16), str(extent)]
    return fingerprint(settings, data, model, extra)


class FitRecords:
    """Checkpoint and metrics of one fit. Mutates self, and the state when it resumes.

    Parameters
    ----------
    state
        Of the fit.
    options
        Where the records go and how often.
    identity
        From `fit_identity`.
    """

    def __init__(self, state: FitState, options: RunOptions, identity: str) -> None:
        self._state = state
        self._options = options
        self._identity = identity
        self._log = MetricsLog(None)
        self._began_s = self._saved_s = time.monotonic()
        self._began_at = 0

    def resume(self) -> None:
        """Go on from the checkpoint, if asked to and there is one.

        Raises
        ------
        CheckpointError
            If there is one but nobody asked, or it is of another fit.
        """
        folder, ranks = self._options.checkpoint, self._options.ranks
        if folder is not None and has_checkpoint(folder):
            if not self._options.resume:
                raise CheckpointError(
                    f"{folder} holds a checkpoint: say --resume to go on, or give another folder"
                )
            self._state.restore(read_checkpoint(folder, self._identity, ranks))
            self._began_at = self._state.done
        self._log = MetricsLog(self._options.metrics if ranks.rank == 0 else None, self._state.done)

    def wants_checkpoint(self) -> bool:
        """Return whether the last checkpoint is old enough for another one."""
        every_s = self._options.checkpoint_every_s
        return self._options.checkpoint is not None and time.monotonic() - self._saved_s >= every_s

    def save(self) -> None:
        """Write a checkpoint, if there is to be one."""
        folder, state = self._options.checkpoint, self._state
        if folder is None:
            return
        mark = f"{state.done}{'-end' if state.is_over else ''}"
        value = state.to_value(self._elapsed_s())
        write_checkpoint(folder, value, mark, self._identity, self._options.ranks)
        self._saved_s = time.monotonic()

    def write(
        self, event: str, *, epoch: int, step: int, loss: float, valid_rank_ic: float, learning_rate: float
    ) -> None:
        """Write a line of metrics, if there are to be any."""
        self._log.write(
            event,
            update=self._state.done,
            epoch=epoch,
            step=step,
            loss=loss,
            valid_rank_ic=valid_rank_ic,
            learning_rate=learning_rate,
            elapsed_s=round(self._elapsed_s(), 3),
        )

    def progress(self, loss: float) -> Progress:
        """Return where the fit stands."""
        state = self._state
        epochs = math.ceil(state.total / state.steps)
        epoch, step = divmod(state.done - 1, state.steps)
        pace_s = (time.monotonic() - self._began_s) / (state.done - self._began_at)
        remaining_s = pace_s * (state.total - state.done)
        return Progress(epoch, epochs, step + 1, state.steps, loss, state.kept.latest(), remaining_s)

    def _elapsed_s(self) -> float:
        return self._state.elapsed_s + time.monotonic() - self._began_s
