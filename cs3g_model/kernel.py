"""The student's serving step: `student.Student` in float32 loops with the instruments innermost.

Loops over independent instruments vectorize; sums over instruments are left folds in row order to which
an absent row adds an exact 0. So a score's bits depend neither on how a run is cut nor on rows of
instruments that never tick, and an absent instrument's state is not touched.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cs3g_model.jit import kernel
from cs3g_model.mixing import EPSILON
from cs3g_model.vector_math import ONE, ZERO, exponential, exponential_minus_1, silu, softplus

__all__ = ["StudentWeights", "Workspace", "allocate", "run_student"]

Array = NDArray[np.float32]

_EPSILON: Final = np.float32(EPSILON)
_HALF: Final = np.float32(0.5)


class StudentWeights(NamedTuple):
    """The student's parameters; without a graph or relations, their columns of `hidden` are 0."""

    threshold: Array  # (L, F), >= 0
    inward: Array  # (D, (L + 1) F)
    inward_bias: Array  # (D,)
    delta: Array  # (D, D)
    delta_bias: Array  # (D,)
    A: Array  # (D, S), < 0
    A_inverse: Array  # (D, S)
    B: Array  # (S, D)
    C: Array  # (S, D)
    D: Array  # (D,)
    query: Array  # (R, D)
    key: Array  # (R, D)
    hidden: Array  # (D, 4 D): of y, its low-rank mix, its sector mean, its neighbor mean
    hidden_bias: Array  # (D,)
    outward: Array  # (1, D)
    outward_bias: Array  # (1,)


class Workspace(NamedTuple):
    """Scratch memory of one step, allocated once per N."""

    live: Array  # (N,) 1 where present
    fresh: Array  # (N,) one feature's values before they enter a buffer
    bands: Array  # ((L + 1) F, N)
    u: Array  # (D, N)
    delta: Array  # (D, N)
    B: Array  # (S, N)
    C: Array  # (S, N)
    parts: Array  # (4 D, N)
    rows: Array  # (N, D): y by instrument
    mixed: Array  # (N, D)
    query: Array  # (R, N)
    key: Array  # (R, N)
    factor: Array  # (N, R)
    total: Array  # (R, D)
    weight: Array  # (R,)
    sector_total: Array  # (G, D)
    sector_count: Array  # (G,)
    hidden: Array  # (D, N)
    score: Array  # (1, N)


def allocate(weights: StudentWeights, n_instruments: int, n_sectors: int) -> Workspace:
    """Allocate the scratch memory of a step."""
    N = n_instruments
    D, bands = weights.inward.shape
    S, R = weights.A.shape[1], weights.query.shape[0]

    def empty(*shape: int) -> Array:
        return np.zeros(shape, np.float32)

    return Workspace(
        live=empty(N),
        fresh=empty(N),
        bands=empty(bands, N),
        u=empty(D, N),
        delta=empty(D, N),
        B=empty(S, N),
        C=empty(S, N),
        parts=empty(4 * D, N),
        rows=empty(N, D),
        mixed=empty(N, D),
        query=empty(R, N),
        key=empty(R, N),
        factor=empty(N, R),
        total=empty(R, D),
        weight=empty(R),
        sector_total=empty(n_sectors, D),
        sector_count=empty(n_sectors),
        hidden=empty(D, N),
        score=empty(1, N),
    )


@kernel
def run_student(
    weights: StudentWeights,
    w: Workspace,
    features: Array,
    mask: NDArray[np.bool_],
    sector: NDArray[np.int16],
    neighbors: NDArray[np.int32],
    neighbor_weights: Array,
    haar: Array,
    h: Array,
    scores: Array,
) -> None:
    """Score a run in order, updating `haar` (2^L - 1, F, N) and `h` (D, S, N) in place.

    Shapes of the inputs as in `Snapshots`; scores (T, N) is filled, 0 where absent.
    """
    N = mask.shape[1]
    D = h.shape[0]
    for t in range(mask.shape[0]):
        for n in range(N):
            w.live[n] = ONE if mask[t, n] else ZERO
        _filter(weights.threshold, features[t], w, haar)
        _affine(weights.inward, weights.inward_bias, w.bands, w.u)
        _silu_rows(w.u)
        _affine(weights.delta, weights.delta_bias, w.u, w.delta)
        _linear(weights.B, w.u, w.B)
        _linear(weights.C, w.u, w.C)
        _scan(weights.A, weights.A_inverse, weights.D, w, h)
        _transpose(w.parts[:D], w.rows)
        _linear(weights.query, w.parts[:D], w.query)
        _linear(weights.key, w.parts[:D], w.key)
        _mix_low_rank(w)
        _transpose(w.mixed, w.parts[D : 2 * D])
        _mix_sectors(sector, w)
        _transpose(w.mixed, w.parts[2 * D : 3 * D])
        _mix_neighbors(neighbors[t], neighbor_weights[t], w)
        _transpose(w.mixed, w.parts[3 * D :])
        _affine(weights.hidden, weights.hidden_bias, w.parts, w.hidden)
        _silu_rows(w.hidden)
        _affine(weights.outward, weights.outward_bias, w.hidden, w.score)
        for n in range(N):
            scores[t, n] = w.score[0, n] if mask[t, n] else ZERO


@kernel
def _filter(threshold: Array, x: Array, w: Workspace, haar: Array) -> None:
    levels, F = threshold.shape
    live, fresh = w.live, w.fresh
    N = live.shape[0]
    for n in range(N):
        for f in range(F):
            w.bands[levels * F + f, n] = x[n, f] if live[n] > ZERO else ZERO
    for level in range(levels):
        lag = 1 << level
        for f in range(F):
            limit = threshold[level, f]
            detail, smooth = w.bands[level * F + f], w.bands[levels * F + f]
            oldest = haar[lag - 1, f]
            for n in range(N):
                fresh[n] = smooth[n]
                coarse = _HALF * (fresh[n] + oldest[n])
                d = fresh[n] - coarse
                detail[n] = d - min(max(d, -limit), limit)
                smooth[n] = coarse
            for row in range(lag - 1, 2 * lag - 2):
                older, newer = haar[row, f], haar[row + 1, f]
                for n in range(N):
                    older[n] = newer[n] if live[n] > ZERO else older[n]
            newest = haar[2 * lag - 2, f]
            for n in range(N):
                newest[n] = fresh[n] if live[n] > ZERO else newest[n]


@kernel
def _linear(weight: Array, x: Array, out: Array) -> None:
    out[:] = ZERO
    _accumulate(weight, x, out)


@kernel
def _affine(weight: Array, bias: Array, x: Array, out: Array) -> None:
    for o in range(out.shape[0]):
        out[o] = bias[o]
    _accumulate(weight, x, out)


@kernel
def _accumulate(weight: Array, x: Array, out: Array) -> None:
    O, I = weight.shape
    N = x.shape[1]
    whole = I - I % 4  # four inputs per pass save three of four loads and stores of `y`
    for o in range(O):
        y = out[o]
        for i in range(0, whole, 4):
            a, b, c, d = weight[o, i], weight[o, i + 1], weight[o, i + 2], weight[o, i + 3]
            xa, xb, xc, xd = x[i], x[i + 1], x[i + 2], x[i + 3]
            for n in range(N):
                y[n] = (((y[n] + a * xa[n]) + b * xb[n]) + c * xc[n]) + d * xd[n]
        for i in range(whole, I):
            a, xa = weight[o, i], x[i]
            for n in range(N):
                y[n] = y[n] + a * xa[n]


@kernel
def _silu_rows(x: Array) -> None:
    for d in range(x.shape[0]):
        row = x[d]
        for n in range(row.shape[0]):
            row[n] = silu(row[n])


@kernel
def _scan(A: Array, A_inverse: Array, skip: Array, w: Workspace, h: Array) -> None:
    D, S, N = h.shape
    for d in range(D):
        delta, u, y = w.delta[d], w.u[d], w.parts[d]
        for n in range(N):
            delta[n] = softplus(delta[n]) * w.live[n]
            y[n] = skip[d] * u[n]
        for s in range(S):
            a, inverse = A[d, s], A_inverse[d, s]
            state, B, C = h[d, s], w.B[s], w.C[s]
            for n in range(N):
                decay = exponential_minus_1(delta[n] * a)
                state[n] = (decay + ONE) * state[n] + decay * inverse * B[n] * u[n]
                y[n] = y[n] + C[n] * state[n]


@kernel
def _transpose(x: Array, out: Array) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = x[j, i]


@kernel
def _feature_map(x: Array, out: Array) -> None:
    for r in range(x.shape[0]):
        row = x[r]
        for n in range(row.shape[0]):
            row[n] = max(row[n], ZERO) + exponential(min(row[n], ZERO))  # elu + 1
    _transpose(x, out)


@kernel
def _mix_low_rank(w: Workspace) -> None:
    N, D = w.rows.shape
    R = w.weight.shape[0]
    _feature_map(w.key, w.factor)
    w.total[:] = ZERO
    w.weight[:] = ZERO
    for n in range(N):
        for r in range(R):
            k = w.factor[n, r] * w.live[n]
            w.weight[r] += k
            for d in range(D):
                w.total[r, d] += k * w.rows[n, d]
    _feature_map(w.query, w.factor)
    for n in range(N):
        norm = ZERO
        for r in range(R):
            norm += w.factor[n, r] * w.weight[r]
        norm = ONE / (norm + _EPSILON)
        w.mixed[n] = ZERO
        for r in range(R):
            q = w.factor[n, r] * norm
            for d in range(D):
                w.mixed[n, d] += q * w.total[r, d]


@kernel
def _mix_sectors(sector: NDArray[np.int16], w: Workspace) -> None:
    N, D = w.rows.shape
    w.sector_total[:] = ZERO
    w.sector_count[:] = ZERO
    for n in range(N):
        g = sector[n]
        if g >= 0:
            w.sector_count[g] += w.live[n]
            for d in range(D):
                w.sector_total[g, d] += w.live[n] * w.rows[n, d]
    for n in range(N):
        g = sector[n]
        if g < 0:
            w.mixed[n] = ZERO
        else:
            scale = ONE / (w.sector_count[g] + _EPSILON)
            for d in range(D):
                w.mixed[n, d] = w.sector_total[g, d] * scale


@kernel
def _mix_neighbors(neighbors: NDArray[np.int32], weights: Array, w: Workspace) -> None:
    N, D = w.rows.shape
    for n in range(N):
        w.mixed[n] = ZERO
        norm = _EPSILON
        for k in range(neighbors.shape[1]):
            j = neighbors[n, k]
            if j >= 0 and w.live[j] > ZERO and weights[n, k] > ZERO:
                norm += weights[n, k]
                for d in range(D):
                    w.mixed[n, d] += weights[n, k] * w.rows[j, d]
        norm = ONE / norm
        for d in range(D):
            w.mixed[n, d] *= norm
