"""The student's serving step: `student.Student` in float32 vectors with the instruments innermost.

Blocks of 64 instruments go through all that concerns an instrument alone while their numbers stay in the
first cache; then come the sums over instruments; then, block by block, the messages and the head. Sums over
instruments are left folds in row order to which an absent row adds an exact 0. So a score's bits depend
neither on how a run is cut, nor on rows of instruments that never tick, nor on the CPU, and an absent
instrument's state is not touched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cs3g_model import student_places as places
from cs3g_model.jit import kernel
from cs3g_model.lane_memory import load, spread, store, store_first
from cs3g_model.lanes import LANES, fma, select_positive, splat
from cs3g_model.linear_kernel import BLOCK, TILE
from cs3g_model.student_block import filter_block, layer, load_features, scan_block, silu_rows
from cs3g_model.student_hidden import hidden_block
from cs3g_model.student_sums import add_rows, center, positive_rows, prepare_mixing, prepare_sectors
from cs3g_model.vector_math import ONE, ZERO, silu

__all__ = ["largest", "run_student"]

Array = NDArray[np.float32]
Places = NDArray[np.int64]


@kernel
def run_student(
    p: Array,
    w: Array,
    at: Places,
    tail_haar: Array,
    tail_h: Array,
    features: Array,
    mask: NDArray[np.bool_],
    sector: NDArray[np.int16],
    neighbors: NDArray[np.int32],
    weights: Array,
    slots: Places,
    haar_before: Array,
    h_before: Array,
    haar_after: Array,
    h_after: Array,
    scores: Array,
) -> None:
    """Score a run in order.

    Parameters
    ----------
    p, w, at
        Parameters, scratch memory, and the places in both.
    tail_haar, tail_h
        State arrays for one block.
    features, mask, sector, neighbors, weights
        As in `Snapshots`.
    slots
        (E, 2), the first and the end of each edge relation's slots.
    haar_before, h_before
        The state's arrays (2^L - 1, F, N) and (D, S, N).
    haar_after, h_after
        The same, filled.
    scores
        (T, N), filled; 0 where absent.
    """
    T, N = mask.shape
    # The states of the last block, if it is none of a whole 64, are moved to arrays of a whole block and back, once
    # a run: blocks of both kinds take the same call, since the compiler copies what it calls.
    rest = N % BLOCK
    if T and rest:
        tail_haar[:, :, :rest] = haar_before[:, :, N - rest :]
        tail_h[:, :, :rest] = h_before[:, :, N - rest :]
    for t in range(T):
        # The first window reads the state before the run, so that no pass is spent on copying it.
        haar, h = (haar_before, h_before) if t == 0 else (haar_after, h_after)
        for c in range(at[places.WIDE]):
            w[at[places.MEAN] + c] = ZERO
        present = 0
        for block in range(0, N, BLOCK):
            count = min(BLOCK, N - block)
            live = at[places.LIVE] + block
            for n in range(BLOCK):
                is_live = mask[t, block + n] if n < count else False
                w[live + n] = ONE if is_live else ZERO
                present += is_live
            load_features(at, w, features, (t * N + block) * at[places.FEATURES], count)
            whole = count == BLOCK
            _advance(
                p,
                w,
                at,
                block,
                haar if whole else tail_haar,
                h if whole else tail_h,
                haar_after if whole else tail_haar,
                h_after if whole else tail_h,
                N if whole else BLOCK,
                block if whole else 0,
            )
        center(at, w, present, sector)
        if at[places.HAS_GRAPH]:
            prepare_mixing(at, p, w, N)
        if at[places.HAS_ROWS]:
            prepare_sectors(at, p, w)
        for block in range(0, N, BLOCK):
            hidden_block(at, p, w, block // BLOCK, sector, neighbors, weights, t, slots)
            _score(p, w, at, block, scores, t * N + block, min(BLOCK, N - block))
    if T and rest:
        haar_after[:, :, N - rest :] = tail_haar[:, :, :rest]
        h_after[:, :, N - rest :] = tail_h[:, :, :rest]


@kernel(part=True)
def _advance(
    p: Array,
    w: Array,
    at: Places,
    first: int,
    haar: Array,
    h: Array,
    new_haar: Array,
    new_h: Array,
    width: int,
    column: int,
) -> None:
    # All that concerns the block's instruments alone, up to y, its queries and its keys.
    block = first // BLOCK
    live = at[places.LIVE] + first
    y = at[places.PARTS] + block * at[places.PART_ROWS] * BLOCK
    D, S = at[places.WIDTH], at[places.STATES]
    bands, u, selected = at[places.BANDS], at[places.U], at[places.SELECTED]
    filter_block(at, p, w, live, haar, new_haar, width, column)
    rows = (at[places.LEVELS] + 1) * at[places.FEATURES]
    rule = at[places.ROUND_BANDS]
    layer(
        at, p, w, at[places.INWARD], at[places.INWARD_BIAS], at[places.INWARD_SCALE], rule, D, rows, bands, u
    )
    silu_rows(w, u, D)
    matrix, bias, scale = at[places.SELECT], at[places.SELECT_BIAS], at[places.SELECT_SCALE]
    layer(at, p, w, matrix, bias, scale, at[places.ROUND_U], D + 2 * S, D, u, selected)
    scan_block(at, p, w, live, h, new_h, width, column, y)
    add_rows(at, w, block, y)
    if at[places.HAS_GRAPH]:
        factors = at[places.FACTOR_LANES] + block * at[places.FACTOR_ROWS] * BLOCK
        matrix, bias, scale = at[places.FACTORS], at[places.NO_BIAS], at[places.FACTORS_SCALE]
        layer(at, p, w, matrix, bias, scale, at[places.ROUND_Y], at[places.FACTOR_ROWS], D, y, factors)
        positive_rows(at, w, block)


@kernel(part=True)
def _score(p: Array, w: Array, at: Places, first: int, scores: Array, place: int, count: int) -> None:
    # From the block's hidden layer to its scores.
    D, rule = at[places.WIDTH], at[places.ROUND_Z]
    hidden, score = at[places.HIDDEN_BLOCK], at[places.SCORE]
    matrix, bias, scale = at[places.OUTWARD], at[places.OUTWARD_BIAS], at[places.OUTWARD_SCALE]
    if rule >= 0:
        silu_rows(w, hidden, D)
        layer(at, p, w, matrix, bias, scale, rule, 1, D, hidden, score)
    else:  # one output, for which the layer would sum four
        for n in range(0, BLOCK, LANES):
            total = spread(p, bias)
            for d in range(D):
                total = fma(spread(p, matrix + d * TILE), silu(load(w, hidden + d * BLOCK + n)), total)
            store(w, score + n, total)
    for n in range(0, count, LANES):
        value = select_positive(load(w, at[places.LIVE] + first + n), load(w, score + n), splat(ZERO))
        if count - n >= LANES:
            store(scores, place + n, value)
        else:
            store_first(scores, place + n, value, count - n)


@kernel
def largest(neighbors: NDArray[np.int32], sector: NDArray[np.int16]) -> tuple[int, int]:
    """Return the largest neighbor and the largest sector, -1 where there is none."""
    flat = neighbors.reshape(-1)
    neighbor, code = np.int32(-1), np.int16(-1)
    for i in range(len(flat)):
        neighbor = max(neighbor, flat[i])
    for i in range(len(sector)):
        code = max(code, sector[i])
    return int(neighbor), int(code)
