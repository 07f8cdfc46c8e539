"""How many passes a distillation makes where nobody says."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from cs3g.fitting import ENOUGH_UPDATES, with_enough_updates
from cs3g_model.config import TrainConfig


@pytest.mark.parametrize(
    ("n_windows", "chunk", "epochs"),
    [
        (1_258, 16, 3),  # five years of days: as many as the settings say
        (50_000, 16, 3),
        (487, 16, 8),
        (487, 64, 29),
        (2, 16, ENOUGH_UPDATES),
    ],
)
def test_a_short_history_is_passed_more_often(n_windows: int, chunk: int, epochs: int) -> None:
    settings = TrainConfig(chunk=chunk)
    found = with_enough_updates(settings, SimpleNamespace(train_stop=n_windows))  # type: ignore[arg-type]
    assert found.epochs == epochs
    assert found.epochs * math.ceil((n_windows - 1) / chunk) >= ENOUGH_UPDATES
    assert found == TrainConfig(chunk=chunk, epochs=epochs)
