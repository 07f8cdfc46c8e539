"""The optimal brain surgeon on linear layers, exact (Hassibi & Stork 1992).

For outputs w x with inputs X (I, M) the squared error's Hessian in a row w is H = 2 X X^T, the same for every
row. Removing weight q costs at least L_q and takes dw of the others:

    L_q = w_q^2 / (2 [H^-1]_qq),    dw = -(w_q / [H^-1]_qq) H^-1 e_q
    H^-1 <- H^-1 - H^-1 e_q e_q^T H^-1 / [H^-1]_qq

after which w is the least-squares optimum of all weights that are left. The layers are small, so that nothing is
approximated: the inverse is downdated for each removal in each row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cs3g_model.compression.layout import Arrays, canonical, groups_of, is_prunable
from cs3g_model.compression.reparametrized import make_student
from cs3g_model.config import StudentConfig
from cs3g_model.errors import CompressionError
from cs3g_model.inputs import snapshot_tensors
from cs3g_model.snapshots import Snapshots
from cs3g_model.student import Student
from cs3g_model.teacher_runtime import single_thread
from cs3g_model.training.validation import fresh_state

__all__ = ["inverse_hessian", "remove_weights", "sparsify"]

_MOST_ROWS: Final = 20_000
_WINDOWS_AT_ONCE: Final = 64

Matrix = NDArray[np.float64]


def inverse_hessian(inputs: Matrix, damping: float = 1e-6) -> Matrix:
    """Invert H = 2 X^T X + damping mean(diag) 1.

    Parameters
    ----------
    inputs
        X, (M, I): M samples of the layer's inputs.
    damping
        Relative, above 0: inputs may be constant or depend on each other.

    Returns
    -------
    (I, I) float64.

    Raises
    ------
    CompressionError
        If the damping is not above 0, or an input is not finite.
    """
    if not damping > 0:
        raise CompressionError(f"`damping` (={damping!r}) must be above 0")
    if not np.isfinite(inputs).all():
        raise CompressionError("`inputs` must be finite")
    hessian = 2.0 * inputs.T @ inputs
    size = float(np.mean(np.diag(hessian)))
    hessian[np.diag_indices_from(hessian)] += damping * (size if size > 0 else 1.0)
    return np.asarray(np.linalg.inv(hessian), np.float64)


def remove_weights(weight: Matrix, inverse: Matrix, count: int) -> Matrix:
    """Remove weights of each row one by one, the least costly first, and adjust the others.

    Parameters
    ----------
    weight
        (O, I).
    inverse
        (I, I), of `inverse_hessian`.
    count
        Weights to remove from each row, in [0, I].

    Returns
    -------
    (O, I) float64 with `count` exact zeros in each row.

    Raises
    ------
    CompressionError
        If the count is out of range.
    """
    if not 0 <= count <= weight.shape[1]:
        raise CompressionError(f"`count` (={count}) must be in [0, {weight.shape[1]}]")
    out = np.array(weight, np.float64)
    for row in out:
        left = np.ones(len(row), np.bool_)
        own = inverse.copy()
        for _ in range(count):
            diagonal = np.where(left, np.diag(own), 1.0)
            cost = np.where(left, row**2 / (2.0 * diagonal), np.inf)
            q = int(np.argmin(cost))
            row -= row[q] / diagonal[q] * own[:, q]
            own -= np.outer(own[:, q], own[q]) / diagonal[q]
            left[q] = False
            # Rounding leaves crumbs where exact arithmetic leaves 0.
            row[~left] = 0.0
            own[~left] = 0.0
            own[:, ~left] = 0.0
    return out


def sparsify(
    config: StudentConfig,
    tensors: Arrays,
    snapshots: Snapshots,
    sparsity: float,
    *,
    damping: float = 1e-6,
) -> Arrays:
    """Remove a share of every linear layer's weights.

    Layer after layer in the order of the computation, each for the inputs that the layers before, thinned
    already, send it.

    Parameters
    ----------
    config, tensors
        The student.
    snapshots
        Whose present instruments give the inputs; a sample of them where they are many.
    sparsity
        Share of each row's weights, in [0, 1), rounded to whole weights.
    damping
        See `inverse_hessian`.

    Returns
    -------
    Arrays
        Named float32 tensors; the input projection is folded (`layout.canonical`).

    Raises
    ------
    CompressionError
        If the sparsity is out of range, or no instrument is present.
    """
    if not 0 <= sparsity < 1:
        raise CompressionError(f"`sparsity` (={sparsity!r}) must be in [0, 1)")
    if not snapshots.mask.any():
        raise CompressionError("`snapshots` must have an instrument that is present")
    model = make_student(Student(config), canonical(config, tensors))
    for names in groups_of(tensors).values():
        layers = {name: name.removesuffix(".weight") for name in names if is_prunable(name)}
        if config.wavelet_levels:
            layers.pop("inward.whole.weight", None)
        if not layers:
            continue
        inputs = _inputs(model, [*layers.values()], snapshots)
        for path in layers.values():
            weight = model.get_parameter(f"{path}.weight")
            inverse = inverse_hessian(inputs[path], damping)
            count = round(sparsity * weight.shape[1])
            thinned = remove_weights(weight.detach().numpy().astype(np.float64), inverse, count)
            with torch.no_grad():
                weight.copy_(torch.tensor(thinned))
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def _inputs(model: Student, paths: list[str], snapshots: Snapshots) -> dict[str, Matrix]:
    """Run the student and note what enters some of its layers: (M, I) of present instruments each."""
    x = snapshot_tensors(snapshots)
    seen: dict[str, list[Tensor]] = {path: [] for path in paths}
    mask = x.mask
    every = -(-int(mask.sum()) // _MOST_ROWS)

    def note(path: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, arguments: seen[path].append(arguments[0])

    handles = [model.get_submodule(path).register_forward_pre_hook(note(path)) for path in paths]
    try:
        with single_thread(), torch.no_grad():
            state = fresh_state(model, mask.shape[1])
            for start in range(0, len(mask), _WINDOWS_AT_ONCE):
                stop = start + _WINDOWS_AT_ONCE
                _, state = model(x.window(start, stop), state)
                for parts in seen.values():
                    parts[-1] = parts[-1][mask[start:stop]]
    finally:
        for handle in handles:
            handle.remove()
    return {path: torch.cat(parts)[::every].numpy().astype(np.float64) for path, parts in seen.items()}
