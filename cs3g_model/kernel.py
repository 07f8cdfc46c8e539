"""The student's serving step: `student.Student` in float32 loops with the instruments innermost.

Loops over independent instruments vectorize; sums over instruments are left folds in row order to which
an absent row adds an exact 0. So a score's bits depend neither on how a run is cut nor on rows of
instruments that never tick, and an absent instrument's state is not touched.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cs3g_model.constants import EPSILON
from cs3g_model.jit import kernel
from cs3g_model.linear_kernel import RoundedInput, add_scaled, dense, linear
from cs3g_model.vector_math import ONE, ZERO, exponential_minus_1, silu, softplus

__all__ = ["LANES", "Inputs", "Scales", "StudentWeights", "Workspace", "allocate", "run_student"]

Array = NDArray[np.float32]

_EPSILON: Final = np.float32(EPSILON)
LANES: Final = 32
"""N is padded to this with absent rows, so that no vectorized loop has a slow scalar tail."""

_HALF: Final = np.float32(0.5)


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
    no_bias: Array  # (max(S, R),) of 0
    scales: Scales
    inputs: Inputs


class Workspace(NamedTuple):
    """Scratch memory of one step, allocated once per N."""

    haar: Array  # (2^L - 1, F, N) the state's two arrays
    h: Array  # (D, S, N)
    live: Array  # (N,) 1 where present
    decay: Array  # (N,)
    fresh: Array  # (N,) one feature's values before they enter a buffer
    bands: Array  # ((L + 1) F, N)
    u: Array  # (D, N)
    delta: Array  # (D, N)
    B: Array  # (S, N)
    C: Array  # (S, N)
    parts: Array  # ((3 + E) D, N)
    rows: Array  # (N, D): y by instrument, centered
    mean: Array  # (1, D)
    mixed: Array  # (N, D)
    query: Array  # (R, N)
    key: Array  # (R, N)
    total: Array  # (R, D)
    mixing: Array  # (D, R)
    weight: Array  # (1, R)
    sector_total: Array  # (G, D)
    sector_count: Array  # (G,)
    hidden: Array  # (D, N)
    score: Array  # (1, N)
    rounded: Array  # (most rows of a rounded input, N)


def allocate(weights: StudentWeights, n_instruments: int, n_sectors: int) -> Workspace:
    """Allocate the scratch memory of a step, N rounded up to `LANES`."""
    N = -(-n_instruments // LANES) * LANES
    D, bands = weights.inward.shape
    S, R = weights.B.shape[0], weights.query.shape[0]
    F = weights.threshold.shape[1]
    levels = weights.threshold.shape[0]

    def empty(*shape: int) -> Array:
        return np.zeros(shape, np.float32)

    return Workspace(
        haar=empty(2**levels - 1, F, N),
        h=empty(D, S, N),
        live=empty(N),
        decay=empty(N),
        fresh=empty(N),
        bands=empty(bands, N),
        u=empty(D, N),
        delta=empty(D, N),
        B=empty(S, N),
        C=empty(S, N),
        parts=empty(weights.hidden.shape[1], N),
        rows=empty(N, D),
        mean=empty(1, D),
        mixed=empty(N, D),
        query=empty(R, N),
        key=empty(R, N),
        total=empty(R, D),
        mixing=empty(D, R),
        weight=empty(1, R),
        sector_total=empty(n_sectors, D),
        sector_count=empty(n_sectors),
        hidden=empty(D, N),
        score=empty(1, N),
        rounded=empty(max(len(rounded.inverse) for rounded in weights.inputs), N),
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
    slots: NDArray[np.int64],
    scores: Array,
) -> None:
    """Score a run in order, updating the workspace's `haar` and `h` in place.

    Shapes of the inputs as in `Snapshots`; slots (E, 2) are the first and the end of each edge relation's
    slots; scores (T, N) is filled, 0 where absent. In the workspace N is padded with rows that stay absent.
    """
    N = mask.shape[1]
    D = w.h.shape[0]
    scales, inputs = weights.scales, weights.inputs
    for t in range(mask.shape[0]):
        for n in range(N):
            w.live[n] = ONE if mask[t, n] else ZERO
        _filter(weights.threshold, features[t], w)
        dense(weights.inward, weights.inward_bias, scales.inward, inputs.bands, w.bands, w.rounded, w.u)
        _silu_rows(w.u)
        dense(weights.delta, weights.delta_bias, scales.delta, inputs.u, w.u, w.rounded, w.delta)
        dense(weights.B, weights.no_bias, scales.B, inputs.u, w.u, w.rounded, w.B)
        dense(weights.C, weights.no_bias, scales.C, inputs.u, w.u, w.rounded, w.C)
        _scan(weights.A, weights.A_inverse, weights.D, w)
        _transpose(w.parts[:D], w.rows)
        _center(w)
        y = w.parts[:D]
        dense(weights.query, weights.no_bias, scales.query, inputs.y, y, w.rounded, w.query)
        dense(weights.key, weights.no_bias, scales.key, inputs.y, y, w.rounded, w.key)
        _mix_low_rank(w, w.parts[D : 2 * D])
        _mix_sectors(sector, w)
        _transpose(w.mixed, w.parts[2 * D : 3 * D])
        for e in range(len(slots)):
            first, end = slots[e]
            threshold, mass = weights.edge_threshold[e], weights.edge_mass[e]
            _mix_neighbors(neighbors[t], neighbor_weights[t], first, end, threshold, mass, w)
            _transpose(w.mixed, w.parts[(3 + e) * D : (4 + e) * D])
        dense(weights.hidden, weights.hidden_bias, scales.hidden, inputs.parts, w.parts, w.rounded, w.hidden)
        _silu_rows(w.hidden)
        dense(weights.outward, weights.outward_bias, scales.outward, inputs.z, w.hidden, w.rounded, w.score)
        for n in range(N):
            scores[t, n] = w.score[0, n] if mask[t, n] else ZERO


@kernel
def _filter(threshold: Array, x: Array, w: Workspace) -> None:
    levels, F = threshold.shape
    live, fresh, haar = w.live, w.fresh, w.haar
    N = live.shape[0]
    for n in range(x.shape[0]):
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
                smooth[n] = _HALF * (fresh[n] + oldest[n])
            for n in range(N):
                d = fresh[n] - smooth[n]
                detail[n] = d - min(max(d, -limit), limit)
            for row in range(lag - 1, 2 * lag - 2):
                older, newer = haar[row, f], haar[row + 1, f]
                for n in range(N):
                    older[n] = newer[n] if live[n] > ZERO else older[n]
            newest = haar[2 * lag - 2, f]
            for n in range(N):
                newest[n] = fresh[n] if live[n] > ZERO else newest[n]


@kernel
def _silu_rows(x: Array) -> None:
    for d in range(x.shape[0]):
        row = x[d]
        for n in range(row.shape[0]):
            row[n] = silu(row[n])


@kernel
def _scan(A: Array, A_inverse: Array, skip: Array, w: Workspace) -> None:
    h = w.h
    D, S, N = h.shape
    first, decay = w.fresh, w.decay
    for d in range(D):
        delta, u, y = w.delta[d], w.u[d], w.parts[d]
        for n in range(N):
            delta[n] = softplus(delta[n])
        for n in range(N):
            delta[n] = delta[n] * w.live[n]
            y[n] = skip[d] * u[n]
        for s in range(S):
            inverse = A_inverse[d, s]
            state, B, C = h[d, s], w.B[s], w.C[s]
            # Three loops of few arrays each: LLVM gives up vectorizing when too many might overlap.
            if s == 0:
                a = A[d]
                for n in range(N):
                    first[n] = exponential_minus_1(delta[n] * a)
                    decay[n] = first[n]
            else:  # exp(z (s + 1)) - 1 from exp(z s) - 1
                for n in range(N):
                    decay[n] = decay[n] + (decay[n] + ONE) * first[n]
            for n in range(N):
                state[n] = state[n] + decay[n] * (state[n] + inverse * B[n] * u[n])
            for n in range(N):
                y[n] = y[n] + C[n] * state[n]


@kernel
def _transpose(x: Array, out: Array) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = x[j, i]


@kernel
def _weighted_sums(weights: Array, rows: Array, total: Array) -> None:
    # total (R, D) = weights (R, N) rows (N, D): left folds over the rows, four at a time for fewer loads.
    total[:] = ZERO
    for n in range(0, rows.shape[0], 4):
        ya, yb, yc, yd = rows[n], rows[n + 1], rows[n + 2], rows[n + 3]
        for r in range(weights.shape[0]):
            k, t = weights[r], total[r]
            a, b, c, d = k[n], k[n + 1], k[n + 2], k[n + 3]
            for i in range(rows.shape[1]):
                t[i] = (((t[i] + a * ya[i]) + b * yb[i]) + c * yc[i]) + d * yd[i]


@kernel
def _center(w: Workspace) -> None:
    N = w.rows.shape[0]
    count = _EPSILON
    for n in range(N):
        count += w.live[n]
    _weighted_sums(w.live.reshape(1, N), w.rows, w.mean)
    mean = w.mean[0]
    for i in range(len(mean)):
        mean[i] = mean[i] / count
    for n in range(N):
        for i in range(len(mean)):
            w.rows[n, i] -= mean[i]


@kernel
def _feature_map(x: Array) -> None:
    for r in range(x.shape[0]):
        row = x[r]
        for n in range(row.shape[0]):
            row[n] = max(row[n], ZERO) + ONE / (ONE - min(row[n], ZERO))


@kernel
def _mix_low_rank(w: Workspace, out: Array) -> None:
    N, D = w.rows.shape
    R = w.query.shape[0]
    _feature_map(w.key)
    _feature_map(w.query)
    w.weight[:] = ZERO
    for r in range(R):
        key = w.key[r]
        for n in range(N):
            key[n] = key[n] * w.live[n]
    _weighted_sums(w.key, w.rows, w.total)
    for n in range(N):
        for r in range(R):
            w.weight[0, r] += w.key[r, n]
    norm = w.fresh
    norm[:] = _EPSILON
    for r in range(R):
        add_scaled(w.weight[0, r], w.query[r], norm)
    for n in range(N):
        norm[n] = ONE / norm[n]
    _transpose(w.total, w.mixing)
    linear(w.mixing, w.query, out)
    for i in range(D):
        row = out[i]
        for n in range(N):
            row[n] = row[n] * norm[n]


@kernel
def _mix_sectors(sector: NDArray[np.int16], w: Workspace) -> None:
    N, D = len(sector), w.rows.shape[1]
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
def _neighbor_weight(j: int, weight: np.float32, threshold: np.float32, live: Array) -> np.float32:
    return (weight - min(max(weight, -threshold), threshold)) * live[j] if j >= 0 else ZERO


@kernel
def _mix_neighbors(
    neighbors: NDArray[np.int32],
    weights: Array,
    first: int,
    end: int,
    threshold: np.float32,
    mass: np.float32,
    w: Workspace,
) -> None:
    N, D = len(neighbors), w.rows.shape[1]
    live, rows = w.live, w.rows
    whole = end - (end - first) % 4
    for n in range(N):
        out = w.mixed[n]
        out[:] = ZERO
        norm = mass
        for k in range(first, whole, 4):
            ja, jb, jc, jd = neighbors[n, k], neighbors[n, k + 1], neighbors[n, k + 2], neighbors[n, k + 3]
            a = _neighbor_weight(ja, weights[n, k], threshold, live)
            b = _neighbor_weight(jb, weights[n, k + 1], threshold, live)
            c = _neighbor_weight(jc, weights[n, k + 2], threshold, live)
            d = _neighbor_weight(jd, weights[n, k + 3], threshold, live)
            norm = (((norm + abs(a)) + abs(b)) + abs(c)) + abs(d)
            ya, yb, yc, yd = rows[max(ja, 0)], rows[max(jb, 0)], rows[max(jc, 0)], rows[max(jd, 0)]
            for i in range(D):
                out[i] = (((out[i] + a * ya[i]) + b * yb[i]) + c * yc[i]) + d * yd[i]
        for k in range(whole, end):
            j = neighbors[n, k]
            a = _neighbor_weight(j, weights[n, k], threshold, live)
            norm += abs(a)
            add_scaled(a, rows[max(j, 0)], out)
        norm = ONE / norm
        for i in range(D):
            out[i] *= norm
