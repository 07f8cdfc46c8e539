"""Lottery tickets: masks that hold, nest and rewind."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from cs3g_model.compression.layout import is_prunable
from cs3g_model.compression.lottery import find_ticket, shrink_masks
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import CompressionError
from cs3g_model.inputs import ModelOutput
from cs3g_model.student import Student
from cs3g_model.training.batch import Batch
from cs3g_model.training.label_losses import LabelObjective
from tests.unit.cs3g_model.factories import planted_market

CONFIG = StudentConfig(width=8, state_size=2, rank=2)
SETTINGS = TrainConfig(epochs=5, learning_rate=1e-2, chunk=10, average=0.8, checks=1)


@pytest.fixture(scope="module")
def market() -> LabeledSnapshots:
    return planted_market(T=90, N=30)


class Watching(LabelObjective):
    """The labels' loss, which notes the weights with which each round starts."""

    def __init__(self, market: LabeledSnapshots, starts: list[dict[str, np.ndarray]]) -> None:
        super().__init__(market.labels[:60], market.scored(0, 60), SETTINGS)
        self.starts = starts
        self.is_fresh = True

    def __call__(self, output: ModelOutput, batch: Batch) -> torch.Tensor:
        if self.is_fresh:
            self.starts.append({n: p.detach().numpy().copy() for n, p in batch.model.named_parameters()})
            self.is_fresh = False
        return super().__call__(output, batch)


@pytest.mark.parametrize("rewind", [0, 3])
def test_a_ticket_is_sparse_rewound_and_still_learns(market: LabeledSnapshots, rewind: int) -> None:
    starts: list[dict[str, np.ndarray]] = []
    ticket = find_ticket(
        CONFIG, market, SETTINGS, rounds=3, rewind=rewind, objective=lambda: Watching(market, starts)
    )
    assert len(starts) == len(ticket.rounds) == 4
    shares = [r.kept for r in ticket.rounds]
    assert shares[0] == 1.0
    np.testing.assert_allclose(shares[1:], [0.8, 0.64, 0.512], atol=0.03)
    for name, mask in ticket.masks.items():
        assert is_prunable(name)
        assert not ticket.tensors[name][~mask].any()
        np.testing.assert_array_equal(starts[-1][name] != 0, mask & (ticket.early[name] != 0))
        np.testing.assert_array_equal(starts[-1][name], ticket.early[name] * mask)
        nested = [s[name] != 0 for s in starts[1:]]
        assert all((later <= earlier).all() for earlier, later in pairwise(nested))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SETTINGS.seed)
        first = {n: p.detach().numpy() for n, p in Student(CONFIG).named_parameters()}
    same = all((first[n] == ticket.early[n]).all() for n in first)
    assert same == (rewind == 0)
    # The ticket learns what the whole student does, nearly.
    assert ticket.rounds[0].valid_rank_ic > 0.5
    assert ticket.rounds[-1].valid_rank_ic > ticket.rounds[0].valid_rank_ic - 0.1


def test_a_round_removes_the_smallest_of_what_is_left() -> None:
    mask = np.ones((2, 5), np.bool_)
    mask[0, 0] = mask[1, 0] = False
    weights = np.array([[0.0, 5, -1, 3, 2], [0, -0.5, 8, 7, 6]], np.float32)
    tensors = {"hidden.weight": weights, "outward.weight": weights}
    out = shrink_masks(tensors, dict.fromkeys(tensors, mask), 0.5)
    assert out["hidden.weight"].tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 1, 1]]
    assert out["outward.weight"].tolist() == [[0, 1, 0, 1, 1], [0, 0, 1, 1, 1]]
    for _ in range(9):
        out = shrink_masks(tensors, out, 0.9)
    assert out["hidden.weight"].sum() == 1


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"rounds": 0}, "rounds"),
        ({"rounds": 1, "share": 1.0}, "share"),
        ({"rounds": 1, "rewind": -1}, "rewind"),
        ({"rounds": 1, "rewind": 1000}, "rewind"),
    ],
)
def test_bad_settings_are_refused(market: LabeledSnapshots, settings: dict, match: str) -> None:
    with pytest.raises(CompressionError, match=match):
        find_ticket(CONFIG, market, TrainConfig(epochs=1, chunk=30), **settings)
