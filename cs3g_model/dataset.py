"""What models are trained on: snapshots with the returns that followed, and where training ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import TrainingError
from cs3g_model.shapes import check_shape
from cs3g_model.snapshots import Snapshots

__all__ = ["LabeledSnapshots", "chunk_starts"]


@dataclass(frozen=True, slots=True)
class LabeledSnapshots:
    """A history in time order, cut in two: windows the first to fit, the second to choose.

    The last window of each part has no label in it: its label is realized in the next part.

    Attributes
    ----------
    snapshots
        The whole history.
    labels
        (T, N) float32 return from this window's close to the next one's; NaN where there is none, or
        where the instrument is not to be scored.
    train_stop, valid_stop
        Windows [0, train_stop) are fitted, [train_stop, valid_stop) choose the weights that are kept.
    """

    snapshots: Snapshots
    labels: NDArray[np.float32]
    train_stop: int
    valid_stop: int

    def __post_init__(self) -> None:
        T = len(self.labels)
        check_shape("labels", self.labels.shape, self.snapshots.mask.shape)
        if not 2 <= self.train_stop <= self.valid_stop <= T:
            raise TrainingError(
                f"splits must satisfy 2 <= train_stop (={self.train_stop}) <= valid_stop "
                f"(={self.valid_stop}) <= {T} windows"
            )
        if self.scored(0, self.train_stop).sum() < 2:
            raise TrainingError("the training windows hold no label: check the dates and the panel's gaps")
        if not self._some_differ(self.train_stop):
            raise TrainingError(
                "the training windows hold nothing to learn: none has two instruments with different labels; "
                "a cross-section takes two, and prices that move"
            )
        chosen = self.scored(self.train_stop, self.valid_stop).sum(axis=1)
        if len(chosen) > 1 and chosen.max() < 2:
            raise TrainingError(
                f"no window from {self.train_stop} to {self.valid_stop - 1}, by which a fit is chosen or judged, has"
                " two instruments with a label: check the dates and the panel's gaps"
            )

    def scored(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return (stop - start, N) bool: which labels of a part count, its last window's never."""
        counts = self.snapshots.mask[start:stop] & np.isfinite(self.labels[start:stop])
        counts[-1:] = False
        return counts

    def _some_differ(self, stop: int) -> bool:
        scored = self.scored(0, stop)
        labels = self.labels[:stop]
        low = np.where(scored, labels, np.inf).min(axis=1)
        return bool((np.where(scored, labels, -np.inf).max(axis=1) > low).any())


def chunk_starts(data: LabeledSnapshots, chunk: int) -> range:
    """Return where the chunks of the training part begin, one an update; its last window has no label."""
    return range(0, data.train_stop - 1, chunk)
