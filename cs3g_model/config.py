"""Frozen, validated configurations of the models and of their training."""

from __future__ import annotations

from typing import Literal

import msgspec

from cs3g_model.constants import SECTOR
from cs3g_model.errors import ConfigError

__all__ = ["DistillConfig", "StudentConfig", "TeacherConfig", "TrainConfig", "edge_relations"]

Relations = tuple[str, ...]
ThresholdMode = Literal["none", "learned", "universal"]
TargetMode = Literal["zscore", "rank"]


def _check(config: msgspec.Struct, rules: dict[str, tuple[float, float]]) -> None:
    for name, (low, high) in rules.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ConfigError(f"`{name}` (={value!r}) must be in [{low}, {high}]")


def edge_relations(relations: Relations) -> Relations:
    """Return the relations that are lists of edges, in order."""
    return tuple(name for name in relations if name != SECTOR)


def _check_relations(relations: Relations) -> None:
    if len(set(relations)) != len(relations) or any(not name for name in relations):
        raise ConfigError(f"`relations` (={relations!r}) must be different names, none of them empty")


class TeacherConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """S3G, the full model.

    Attributes
    ----------
    n_features
        F of the feature schema.
    wavelet_levels
        L; 0 passes the features through.
    threshold
        Soft threshold of the detail bands: a learned one per band, or the universal one of
        Donoho & Johnstone with a running noise estimate.
    width, layers, state_size
        D, number of blocks, S.
    heads, rank, edges
        H, R per head, and how many incoming edges a node keeps per head.
    graph_state_size
        S of the SSM that evolves the query and key factors; 0 makes the graph stateless.
    graph
        Switch of the learned graph.
    relations
        Known relations that the model reads: "sector", "correlation", "lead", or the name of a relation in the
        relations file. Without them and without a graph it is the no-graph control.
    dropout
        Applied to the messages and block outputs in training.
    warmup
        Windows before a score is worth trading on.
    """

    n_features: int = 12
    wavelet_levels: int = 1
    threshold: ThresholdMode = "learned"
    width: int = 32
    layers: int = 2
    state_size: int = 8
    heads: int = 2
    rank: int = 8
    edges: int = 16
    graph_state_size: int = 2
    graph: bool = True
    relations: Relations = ("sector", "correlation", "lead")
    dropout: float = 0.1
    warmup: int = 20

    def __post_init__(self) -> None:
        _check(
            self,
            {
                "n_features": (1, 1024),
                "wavelet_levels": (0, 6),
                "width": (1, 1024),
                "layers": (1, 16),
                "state_size": (1, 256),
                "heads": (1, 64),
                "rank": (1, 256),
                "edges": (1, 4096),
                "graph_state_size": (0, 64),
                "dropout": (0.0, 0.9),
                "warmup": (0, 100_000),
            },
        )
        _check_relations(self.relations)
        if self.width % self.heads:
            raise ConfigError(f"`width` (={self.width}) must be divisible by `heads` (={self.heads})")


class StudentConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """C-S3G, the compressed model: one block, and a graph of cost O(N R).

    Attributes
    ----------
    n_features, wavelet_levels, warmup
        As in `TeacherConfig`.
    threshold
        "none" or "learned": the universal threshold's running estimate would be one more state.
    width, state_size, rank
        D, S and R.
    graph
        Switch of the low-rank graph.
    relations
        As in `TeacherConfig`.
    """

    n_features: int = 12
    wavelet_levels: int = 1
    threshold: Literal["none", "learned"] = "learned"
    width: int = 16
    state_size: int = 4
    rank: int = 8
    graph: bool = True
    relations: Relations = ("sector", "correlation", "lead")
    warmup: int = 20

    def __post_init__(self) -> None:
        _check(
            self,
            {
                "n_features": (1, 1024),
                "wavelet_levels": (0, 6),
                "width": (1, 256),
                "state_size": (1, 64),
                "rank": (1, 128),
                "warmup": (0, 100_000),
            },
        )
        _check_relations(self.relations)


class TrainConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a model is fitted to labels.

    Attributes
    ----------
    seed
        Decides initial weights, order of chunks and dropout.
    epochs
        Most passes over the training windows.
    checks, patience
        Validations in an epoch, and how many without a better rank IC end the fit.
    chunk
        Windows per update, the length of truncated backpropagation through time.
    optimizer
        "adamw" or "lamb" (You et al. 2020), which wants a learning rate some ten times higher.
    learning_rate, weight_decay, gradient_norm
        Of the optimizer; gradients are clipped to this norm.
    average
        Decay per update of the running average of weights that is validated and kept.
    target
        The label as a z-score, or as a Gaussian rank, across the instruments of a window.
    squared, pairwise, listwise, ic
        Weights of the losses of the scores: squared error; pairwise hinge, which equal scores make 0, so that
        it cannot stand alone; softmax of labels against softmax of scores; 1 - IC.
    listwise_temperature
        Of both softmaxes.
    likelihood
        Weight of the Gaussian likelihood that fits the scores and the dispersion head together.
    dispersion
        Weight of the Gaussian likelihood that fits the dispersion head alone.
    """

    seed: int = 0
    epochs: int = 3
    checks: int = 4
    patience: int = 8
    chunk: int = 16
    optimizer: Literal["adamw", "lamb"] = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    gradient_norm: float = 1.0
    average: float = 0.98
    target: TargetMode = "rank"
    squared: float = 1.0
    pairwise: float = 0.0
    listwise: float = 0.0
    listwise_temperature: float = 1.0
    ic: float = 0.0
    likelihood: float = 0.0
    dispersion: float = 0.1

    def __post_init__(self) -> None:
        _check(
            self,
            {
                "seed": (0, 2**32 - 1),
                "epochs": (1, 10_000),
                "checks": (1, 10_000),
                "patience": (1, 10_000),
                "chunk": (1, 4096),
                "learning_rate": (1e-8, 1.0),
                "weight_decay": (0.0, 10.0),
                "gradient_norm": (1e-6, 1e6),
                "average": (0.0, 0.99999),
                "squared": (0.0, 1e3),
                "pairwise": (0.0, 1e3),
                "listwise": (0.0, 1e3),
                "listwise_temperature": (1e-3, 1e3),
                "ic": (0.0, 1e3),
                "likelihood": (0.0, 1e3),
                "dispersion": (0.0, 1e3),
            },
        )
        if not self.squared + self.listwise + self.ic + self.likelihood:
            raise ConfigError(
                "one of `squared`, `listwise`, `ic` and `likelihood` must be above 0: equal scores please the "
                "others best"
            )


class DistillConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a student learns from a teacher; alpha weighs the teacher's side (Hinton et al. 2015).

    Attributes
    ----------
    train
        The loop's own settings.
    alpha
        Loss = (1 - alpha) label loss + alpha soft-target loss + hint * hint loss.
    temperature
        tau of the listwise soft targets.
    hint
        Weight of the FitNets hint between the teacher's last hidden layer and the student's block.
    """

    train: TrainConfig = TrainConfig(dispersion=0.0)
    alpha: float = 0.7
    temperature: float = 1.0
    hint: float = 0.1

    def __post_init__(self) -> None:
        _check(self, {"alpha": (0.0, 1.0), "temperature": (1e-3, 1e3), "hint": (0.0, 1e3)})
