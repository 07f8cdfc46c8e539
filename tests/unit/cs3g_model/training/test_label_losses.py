"""The losses of a fit to labels, computed by hand."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from cs3g_model.config import TrainConfig
from cs3g_model.errors import ConfigError, TrainingError
from cs3g_model.inputs import ModelOutput, snapshot_tensors
from cs3g_model.training.batch import Batch
from cs3g_model.training.label_losses import LabelObjective, likelihood_loss, standardize
from tests.unit.cs3g_model.factories import make_snapshots
from tests.unit.cs3g_model.training.fits import SETTINGS, small_fit

T, N = 5, 9


@pytest.fixture
def example() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(T, N, generator=g) < 0.7
    mask[3] = False
    mask[3, 2] = True  # one instrument alone makes no window
    return {
        "scores": torch.randn(T, N, generator=g),
        "log_dispersion": 0.3 * torch.randn(T, N, generator=g),
        "labels": 0.01 * torch.randn(T, N, generator=g),
        "mask": mask,
    }


def loss_of(example: dict[str, Tensor], **weights: object) -> float:
    config = TrainConfig(**({"dispersion": 0.0} | weights))  # type: ignore[arg-type]
    objective = LabelObjective(example["labels"].numpy(), example["mask"].numpy(), config)
    output = ModelOutput(example["scores"], torch.zeros(T, N, 1), example["log_dispersion"])
    x = snapshot_tensors(make_snapshots(T=T, N=N))
    return float(objective(output, Batch(0, T, example["mask"], x, {}, nn.Module())))


def per_window(example: dict[str, Tensor], f: object) -> float:
    """Average f(scores, targets, log sigma) of the present over the windows that have two."""
    y = standardize(example["labels"].numpy(), example["mask"].numpy(), "rank")
    values = []
    for t in range(T):
        here = example["mask"][t].numpy()
        if here.sum() >= 2:
            parts = (example["scores"][t], y[t], example["log_dispersion"][t])
            values.append(f(*(part.numpy()[here].astype(np.float64) for part in parts)))  # type: ignore[operator]
    return float(np.mean(values))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


EQUATIONS = {
    "squared": lambda s, y, _: np.mean((s - y) ** 2),
    "pairwise": lambda s, y, _: np.mean(np.maximum(0, -np.subtract.outer(s, s) * np.subtract.outer(y, y))),
    "listwise": lambda s, y, _: np.sum(softmax(y) * (np.log(softmax(y)) - np.log(softmax(s)))),
    "ic": lambda s, y, _: 1 - np.corrcoef(s, y)[0, 1],
    "likelihood": lambda s, y, d: np.mean(d + (y - s) ** 2 / (2 * np.exp(2 * d))),
    "dispersion": lambda s, y, d: np.mean(d + (y - s) ** 2 / (2 * np.exp(2 * d))),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_a_loss_is_its_equation(example: dict[str, Tensor], name: str) -> None:
    # Two of them cannot stand alone.
    squared = 1.0 if name in ("pairwise", "dispersion") else 0.0
    base = squared * per_window(example, EQUATIONS["squared"])
    for weight in (1.0, 2.5):
        expected = base + weight * per_window(example, EQUATIONS[name])
        assert loss_of(example, **({"squared": squared} | {name: weight})) == pytest.approx(
            expected, rel=1e-5
        )


def test_losses_add_up(example: dict[str, Tensor]) -> None:
    weights = {
        "squared": 0.5,
        "pairwise": 0.2,
        "listwise": 1.5,
        "ic": 0.7,
        "likelihood": 0.1,
        "dispersion": 0.3,
    }
    expected = sum(weight * per_window(example, EQUATIONS[name]) for name, weight in weights.items())
    assert loss_of(example, **weights) == pytest.approx(expected, rel=1e-5)


def test_the_listwise_temperature_softens_both_sides(example: dict[str, Tensor]) -> None:
    def soft(s: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
        p, q = softmax(y / 2), softmax(s / 2)
        return 4 * float(np.sum(p * np.log(p / q)))

    assert loss_of(example, squared=0.0, listwise=1.0, listwise_temperature=2.0) == pytest.approx(
        per_window(example, soft), rel=1e-5
    )


def test_only_the_joint_likelihood_teaches_the_scores() -> None:
    s = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
    d = torch.tensor([[0.1, 0.2, -0.3]], requires_grad=True)
    y = torch.tensor([[0.0, 1.0, -1.0]])
    likelihood_loss(s, d, y, torch.ones(1, 3, dtype=torch.bool)).backward()
    assert s.grad is not None
    assert d.grad is not None
    # d/ds of (y - s)^2 / (2 sigma^2), a mean over three.
    torch.testing.assert_close(s.grad, ((s - y) * torch.exp(-2 * d) / 3).detach())
    torch.testing.assert_close(d.grad, ((1 - (y - s) ** 2 * torch.exp(-2 * d)) / 3).detach())


def test_labels_become_scores_of_their_window(example: dict[str, Tensor]) -> None:
    mask, labels = example["mask"].numpy(), example["labels"].numpy()
    ranked = standardize(labels, mask, "rank").numpy()
    scaled = standardize(np.where(mask, labels, np.nan).astype(np.float32), mask, "zscore").numpy()
    assert (ranked[~mask] == 0).all()
    assert (scaled[~mask] == 0).all()
    n = int(mask[0].sum())
    np.testing.assert_allclose(np.sort(ranked[0][mask[0]]), norm.ppf((np.arange(n) + 0.5) / n), atol=1e-5)
    here = labels[0][mask[0]]
    np.testing.assert_allclose(scaled[0][mask[0]], (here - here.mean()) / here.std(), atol=1e-4)


def test_a_model_without_any_loss_is_told_of(example: dict[str, Tensor]) -> None:
    config = TrainConfig(squared=0.0, likelihood=1.0)
    objective = LabelObjective(example["labels"].numpy(), example["mask"].numpy(), config)
    x = snapshot_tensors(make_snapshots(T=T, N=N))
    output = ModelOutput(example["scores"], torch.zeros(T, N, 1))  # a student: no dispersion head
    with pytest.raises(TrainingError, match="every loss"):
        objective(output, Batch(0, T, example["mask"], x, {}, nn.Module()))
    for weights in ({}, {"pairwise": 1.0}, {"dispersion": 1.0}):
        with pytest.raises(ConfigError, match="squared"):
            TrainConfig(squared=0.0, **weights)


@pytest.mark.parametrize(
    "weights",
    [
        {"squared": 1.0},
        {"squared": 0.1, "pairwise": 1.0},
        {"squared": 0.0, "listwise": 1.0},
        {"squared": 0.0, "ic": 1.0},
        {"squared": 0.0, "likelihood": 1.0},
    ],
)
def test_every_loss_finds_the_signal(weights: dict[str, float]) -> None:
    settings = msgspec.structs.replace(SETTINGS, epochs=12, **weights)
    result = small_fit(settings=settings)
    assert result.losses[-1] < result.losses[0]
    assert max(result.valid_rank_ics) > 0.5
    assert math.isfinite(result.losses[-1])
