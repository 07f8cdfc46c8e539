"""Sums over the pairs of a look-back, and what of them is known before the newest snapshot has come.

The newest snapshot brings the last pair of every sum. Sums are added up in groups of four pairs, so all groups but the
last one can be added before: `look_back` and `sum_known` do so, `complete` adds the last group, to the same bits
whenever the first part was done.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cs3g_model.jit import kernel
from pipeline.pair_correlation import sum_rows
from pipeline.returns_ring import recent_returns, series_of
from topics.types import Float32Array, Float64Array, Int32Array

GROUP: Final = 4
BLOCK: Final = 16
"""Destinations whose sums are held at a time where they are not made beforehand."""

SXY, NUMBER, SX, SXX, SY, SYY = range(6)
_SUMS: Final = 6
_RETURNS: Final = 5  # arrays of a row a pair: of all, of the sources, and the squares of those
_SHARED: Final = (
    8  # rows: two lines of two sums that destinations without gaps share, the counts, three own sums
)
_TILE: Final = 256  # sources at a time: their returns stay in the cache for all destinations


def leader_workspace(windows: int, instruments: int, lines: int = BLOCK) -> Float64Array:
    """Return the scratch memory of `find_leaders`, to be used again: fresh pages would cost as much as the sums.

    Parameters
    ----------
    lines
        Destinations whose sums it holds.
    """
    rows = _RETURNS * (windows + GROUP) + _SHARED + _SUMS * (lines + lines % 2)
    return np.empty((rows, instruments))


@kernel
def n_lines(work: Float64Array, windows: int) -> int:
    """Return how many destinations' sums a workspace holds."""
    return (len(work) - _RETURNS * (windows + GROUP) - _SHARED) // _SUMS


@kernel
def known_pairs(pairs: int) -> int:
    """Return how many of the pairs lie in groups before that of the newest one."""
    return (pairs - 1) // GROUP * GROUP


@kernel
def of_sources(work: Float64Array, pairs: int, which: int) -> Float64Array:
    """Return the sources' returns (0), whether they are there (1) or their squares (2): a row for each pair."""
    rows = known_pairs(pairs) + GROUP
    found: Float64Array = work[(2 + which) * rows : (3 + which) * rows]
    return found


@kernel
def counts(work: Float64Array, lines: int) -> Float64Array:
    """Return the row that holds how many returns each instrument has as a source."""
    row: Float64Array = work[len(work) - _SUMS * lines - 4]
    return row


@kernel
def first_returns_there(work: Float64Array, pairs: int) -> Float64Array:
    """Return the row that says whether each instrument has the first pair's return of the source."""
    row: Float64Array = work[known_pairs(pairs) + GROUP]
    return row


@kernel
def look_back(ring: Float32Array, seq: int, pairs: int, least: int, lines: int, work: Float64Array) -> None:
    """Write what all destinations share; reads snapshots before `seq` only.

    Parameters
    ----------
    ring, seq, work
        As in `find_leaders`.
    pairs, least
        How many are looked back on, and how many a source must have.
    lines
        Of the workspace.
    """
    known = known_pairs(pairs)
    rows = known + GROUP  # those beyond the pairs are 0
    values, present = work[:rows], work[rows : 2 * rows]
    recent_returns(ring, seq - 1, pairs, values, present)
    count = counts(work, lines)
    count[:] = sum_rows(present)
    sources, _ = order_by_gaps(count, pairs, least)
    y, y_there, yy = of_sources(work, pairs, 0), of_sources(work, pairs, 1), of_sources(work, pairs, 2)
    for w in range(rows):
        for s in range(len(sources)):
            y[w, s] = values[w, sources[s]]
            y_there[w, s] = present[w, sources[s]]
            yy[w, s] = y[w, s] * y[w, s]
    ones = np.ones((2, known))
    shared = len(work) - _SUMS * lines - _SHARED
    _sum_products(ones, y, 0, len(sources), work[shared : shared + 2])
    _sum_products(ones, yy, 0, len(sources), work[shared + 2 : shared + 4])


@kernel
def sum_known(
    ring: Float32Array,
    seq: int,
    pairs: int,
    least: int,
    destinations: Int32Array,
    lines: int,
    work: Float64Array,
) -> None:
    """Add up all groups but the last for some destinations, after `look_back`; reads snapshots before `seq` only.

    Parameters
    ----------
    destinations
        (<= lines,) indices of the instruments.
    """
    known = known_pairs(pairs)
    even = (len(destinations) + 1) // 2 * 2
    x, x_there = np.empty((even, known)), np.empty((even, known))
    series_of(ring, seq - pairs + known, known, destinations, x, x_there)
    sources, n_whole = order_by_gaps(counts(work, lines), pairs, least)
    n_used = len(sources)
    y, y_there, yy = of_sources(work, pairs, 0), of_sources(work, pairs, 1), of_sources(work, pairs, 2)
    sums = work[len(work) - _SUMS * lines :]
    _sum_products(x, y, 0, n_used, sums[SXY * lines : (SXY + 1) * lines])
    if n_whole < n_used:
        _sum_products(x_there, y_there, n_whole, n_used, sums[NUMBER * lines : (NUMBER + 1) * lines])
        _sum_products(x, y_there, n_whole, n_used, sums[SX * lines : (SX + 1) * lines])
        _sum_products(x * x, y_there, n_whole, n_used, sums[SXX * lines : (SXX + 1) * lines])
    own = work[len(work) - _SUMS * lines - 3 : len(work) - _SUMS * lines]
    has_gaps = False
    for d in range(len(destinations)):
        own[0, d] = own[1, d] = own[2, d] = 0.0
        for w in range(known):
            own[0, d] += x_there[d, w]
            own[1, d] += x[d, w]
            own[2, d] += x[d, w] * x[d, w]
        has_gaps |= own[0, d] < known
    if has_gaps:
        _sum_products(x_there, y, 0, n_used, sums[SY * lines : (SY + 1) * lines])
        _sum_products(x_there, yy, 0, n_used, sums[SYY * lines : (SYY + 1) * lines])


@kernel
def complete(
    ring: Float32Array,
    seq: int,
    pairs: int,
    n_whole: int,
    n_used: int,
    destination: int,
    line: int,
    lines: int,
    work: Float64Array,
    out: Float64Array,
) -> None:
    """Add the last group to the sums of one destination, for every source.

    Parameters
    ----------
    n_whole, n_used
        Sources without gaps, and all.
    destination, line
        Its index, and its place among those of `sum_known`.
    out
        (6, >= n_used) out, by `SXY`, `NUMBER`, `SX`, `SXX`, `SY`, `SYY`.
    """
    known = known_pairs(pairs)
    x, x_there, one = np.empty((1, GROUP)), np.empty((1, GROUP)), np.empty(1, np.int32)
    one[0] = destination
    series_of(ring, seq, pairs - known, one, x, x_there)
    y, y_there, yy = of_sources(work, pairs, 0), of_sources(work, pairs, 1), of_sources(work, pairs, 2)
    sums = work[len(work) - _SUMS * lines :]
    own = work[len(work) - _SUMS * lines - 3 : len(work) - _SUMS * lines]
    shared = work[len(work) - _SUMS * lines - _SHARED :]
    _add_group(sums[SXY * lines + line], x[0], y[known:], 0, n_used, out[SXY])
    _add_group(sums[NUMBER * lines + line], x_there[0], y_there[known:], n_whole, n_used, out[NUMBER])
    _add_group(sums[SX * lines + line], x[0], y_there[known:], n_whole, n_used, out[SX])
    _add_group(sums[SXX * lines + line], x[0] * x[0], y_there[known:], n_whole, n_used, out[SXX])
    is_whole = own[0, line] == known
    before_y = shared[0] if is_whole else sums[SY * lines + line]
    before_yy = shared[2] if is_whole else sums[SYY * lines + line]
    _add_group(before_y, x_there[0], y[known:], 0, n_used, out[SY])
    _add_group(before_yy, x_there[0], yy[known:], 0, n_used, out[SYY])
    # Sources without gaps share what is the destination's alone.
    n, sx, sxx = own[0, line], own[1, line], own[2, line]
    for w in range(GROUP):
        n += x_there[0, w]
        sx += x[0, w]
        sxx += x[0, w] * x[0, w]
    out[NUMBER, :n_whole] = n
    out[SX, :n_whole] = sx
    out[SXX, :n_whole] = sxx


@kernel
def order_by_gaps(count: Float64Array, pairs: int, least: int) -> tuple[Int32Array, int]:
    """Return the series without gaps, then those with gaps but returns enough; and how many the former are."""
    order = np.empty(len(count), np.int32)
    n_whole = 0
    for j in range(len(count)):
        if count[j] == pairs:
            order[n_whole] = j
            n_whole += 1
    n_used = n_whole
    for j in range(len(count)):
        if least <= count[j] < pairs:
            order[n_used] = j
            n_used += 1
    return order[:n_used], n_whole


@kernel
def _sum_products(x: Float64Array, y: Float64Array, first: int, last: int, out: Float64Array) -> None:
    # out[d, j] = sum over w of x[d, w] y[w, j], for an even number of lines and the columns first .. last - 1.
    # Every out[d, j] is a sum of its own in one order, so the loop over j vectorizes without a change of bits.
    for start in range(first, last, _TILE):
        stop = min(start + _TILE, last)
        for d in range(0, x.shape[0], 2):
            a, b = out[d, start:stop], out[d + 1, start:stop]
            a[:] = 0.0
            b[:] = 0.0
            for w in range(0, x.shape[1], GROUP):
                a0, a1, a2, a3 = x[d, w], x[d, w + 1], x[d, w + 2], x[d, w + 3]
                b0, b1, b2, b3 = x[d + 1, w], x[d + 1, w + 1], x[d + 1, w + 2], x[d + 1, w + 3]
                y0, y1 = y[w, start:stop], y[w + 1, start:stop]
                y2, y3 = y[w + 2, start:stop], y[w + 3, start:stop]
                for j in range(len(a)):
                    a[j] += (a0 * y0[j] + a1 * y1[j]) + (a2 * y2[j] + a3 * y3[j])
                    b[j] += (b0 * y0[j] + b1 * y1[j]) + (b2 * y2[j] + b3 * y3[j])


@kernel
def _add_group(
    before: Float64Array, x: Float64Array, y: Float64Array, first: int, last: int, out: Float64Array
) -> None:
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    for j in range(first, last):
        out[j] = before[j] + ((x0 * y0[j] + x1 * y1[j]) + (x2 * y2[j] + x3 * y3[j]))
