"""The student's parameters as its kernel wants them: gains multiplied out, what it does not read filled with 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cs3g_model.config import StudentConfig, edge_relations
from cs3g_model.constants import RELATION_SCALE, SECTOR
from cs3g_model.errors import ArtifactFormatError, ShapeError
from cs3g_model.linear_kernel import RoundedInput, unrounded
from cs3g_model.shapes import check_shape

__all__ = ["Arrays", "Inputs", "Scales", "StudentWeights", "pack_weights"]

Array = NDArray[np.float32]
Arrays = dict[str, Array]


class Scales(NamedTuple):
    """What the rows of each matrix are multiplied by where its input is rounded; else not read."""

    inward: Array  # (D,)
    delta: Array  # (D,)
    B: Array  # (S,)
    C: Array  # (S,)
    query: Array  # (R,)
    key: Array  # (R,)
    hidden: Array  # (D,)
    outward: Array  # (1,)


class Inputs(NamedTuple):
    """How the inputs of the linear layers are rounded."""

    bands: RoundedInput
    u: RoundedInput
    y: RoundedInput
    parts: RoundedInput
    z: RoundedInput


class StudentWeights(NamedTuple):
    """The student's parameters with E edge relations; columns of `hidden` for what it does not read are 0."""

    threshold: Array  # (L, F), >= 0
    inward: Array  # (D, (L + 1) F)
    inward_bias: Array  # (D,)
    delta: Array  # (D, D)
    delta_bias: Array  # (D,)
    A: Array  # (D,), < 0; the state's rates are A, 2 A, ..., S A
    A_inverse: Array  # (D, S) of these rates
    B: Array  # (S, D)
    C: Array  # (S, D)
    D: Array  # (D,)
    query: Array  # (R, D)
    key: Array  # (R, D)
    edge_threshold: Array  # (E,), >= 0
    edge_mass: Array  # (E,), > 0
    hidden: Array  # (D, (3 + E) D): of y, and times their gains of its low-rank mix, sector and edge means
    hidden_bias: Array  # (D,)
    outward: Array  # (1, D)
    outward_bias: Array  # (1,)
    scales: Scales
    inputs: Inputs


def pack_weights(config: StudentConfig, tensors: Arrays) -> StudentWeights:
    """Arrange the module's named tensors for the kernel.

    Raises
    ------
    ArtifactFormatError
        If a tensor is missing or left over, has a wrong shape, or is not finite.
    """
    F, L, D, S, R = (
        config.n_features,
        config.wavelet_levels,
        config.width,
        config.state_size,
        config.rank,
    )
    left = dict(tensors)

    def take(name: str, *shape: int) -> NDArray[np.float32]:
        if name not in left:
            raise ArtifactFormatError(f"the student's weights lack {name!r}")
        array = np.ascontiguousarray(left.pop(name), np.float32)
        try:
            check_shape(name, array.shape, shape)
        except ShapeError as error:
            raise ArtifactFormatError(f"the weights do not fit the configuration: {error}") from error
        if not np.isfinite(array).all():
            raise ArtifactFormatError(f"the student's weights {name!r} must be finite")
        return array

    learned = config.threshold == "learned" and L > 0
    threshold = take("wavelets.threshold", L, F).clip(min=0) if learned else np.zeros((L, F), np.float32)
    inward = take("inward.whole.weight", D, F)[:, None, :].repeat(L + 1, axis=1)
    if L:
        bands = take("inward.bands.weight", D, (L + 1) * F).reshape(D, L + 1, F)
        inward = inward + take("inward.gain", D)[:, None, None] * bands
    with np.errstate(over="ignore", divide="ignore"):  # both are refused below
        A = -np.exp(take("ssm.A_log", D, 1))
        A_inverse = np.float32(1) / (A * np.arange(1, S + 1, dtype=np.float32))
    edges = edge_relations(config.relations)
    parts = 1 + int(config.graph) + len(config.relations)
    hidden = take("hidden.weight", D, parts * D).reshape(D, parts, D)
    if parts > 1:
        gains = np.concatenate([np.ones(1, np.float32), take("gains", parts - 1)])
        hidden = hidden * gains[:, None]
    place = {SECTOR: 2} | {name: 3 + e for e, name in enumerate(edges)}
    columns = [0, *([1] if config.graph else []), *(place[name] for name in config.relations)]
    wide = np.zeros((D, 3 + len(edges), D), np.float32)
    wide[:, columns] = hidden
    thresholds, masses = np.zeros(len(edges), np.float32), np.zeros(len(edges), np.float32)
    for i, name in enumerate(config.relations):
        if name != SECTOR:
            e = place[name] - 3
            thresholds[e] = RELATION_SCALE * abs(take(f"relations.{i}.threshold", 1)[0])
            masses[e] = np.logaddexp(RELATION_SCALE * take(f"relations.{i}.mass", 1)[0], np.float32(0))
    zeros = np.zeros((R, D), np.float32)
    weights = StudentWeights(
        threshold=threshold,
        inward=inward.reshape(D, (L + 1) * F),
        inward_bias=take("inward.whole.bias", D),
        delta=take("ssm.delta.weight", D, D),
        delta_bias=take("ssm.delta.bias", D),
        A=A[:, 0],
        A_inverse=A_inverse,
        B=take("ssm.B.weight", S, D),
        C=take("ssm.gain", S)[:, None] * take("ssm.C.weight", S, D),
        D=take("ssm.D", D),
        query=take("mixer.query.weight", R, D) if config.graph else zeros,
        key=take("mixer.key.weight", R, D) if config.graph else zeros,
        edge_threshold=thresholds,
        edge_mass=masses,
        hidden=wide.reshape(D, -1),
        hidden_bias=take("hidden.bias", D),
        outward=take("outward.weight", 1, D),
        outward_bias=take("outward.bias", 1),
        scales=Scales(*(np.ones(rows, np.float32) for rows in (D, D, S, S, R, R, D, 1))),
        inputs=Inputs(*(unrounded() for _ in Inputs._fields)),
    )
    if not (np.isfinite(A).all() and np.isfinite(A_inverse).all()):
        raise ArtifactFormatError("the student's `ssm.A_log` must give finite rates that are not 0")
    if not (masses > 0).all():
        raise ArtifactFormatError("the student's `mass` of a relation must give a weight above 0")
    if left:
        raise ArtifactFormatError(f"the student's weights hold unknown tensors: {sorted(left)}")
    return weights
