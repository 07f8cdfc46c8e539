"""Where the student's kernel finds its numbers: two flat float32 arrays and the places of things in them.

Parameters are one array and scratch memory is another, because a call that takes sixty arrays spends more
time on taking them than the kernel spends on a hundred instruments.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cs3g_model.lanes import LANES
from cs3g_model.linear_kernel import BLOCK, TILE, RoundedInput, pack_matrix

__all__ = ["Inputs", "Plan", "Scales", "StudentWeights", "Workspace", "allocate", "make_plan"]

Array = NDArray[np.float32]


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


# Sizes.
FEATURES: Final = 0
LEVELS: Final = 1
WIDTH: Final = 2
WIDE: Final = 3  # the width, rounded up to whole vectors
STATES: Final = 4
RANK: Final = 5
RANK_TILES: Final = 6  # the rank, rounded up to the sums that are made at once
EDGES: Final = 7
PART_ROWS: Final = 8  # rows of a block's parts: y, and behind it queries or their mix
FACTOR_ROWS: Final = 9
HAS_GRAPH: Final = 10
N_SECTORS: Final = 11
HAS_ROWS: Final = 12  # whether messages of sectors or edges are read
# Places of parameters.
THRESHOLD: Final = 13
INWARD: Final = 14
INWARD_BIAS: Final = 15
INWARD_SCALE: Final = 16
SELECT: Final = 17  # delta, B and C: what selects what the state keeps
SELECT_BIAS: Final = 18
SELECT_SCALE: Final = 19
RATE: Final = 20
RATE_INVERSE: Final = 21
SKIP: Final = 22
FACTORS: Final = 23  # queries and keys
FACTORS_SCALE: Final = 24
EDGE_THRESHOLD: Final = 25
EDGE_MASS: Final = 26
HIDDEN: Final = 27  # of y
HIDDEN_MIX: Final = 28  # of the low-rank mix: as `pack_matrix`, or input by output where it is not rounded
HIDDEN_ROWS: Final = 29  # of sector and edges, input by output
HIDDEN_BIAS: Final = 30
HIDDEN_SCALE: Final = 31
OUTWARD: Final = 32
OUTWARD_BIAS: Final = 33
OUTWARD_SCALE: Final = 34
NO_BIAS: Final = 35
# Places of the rounding rules, -1 where an input is not rounded.
ROUND_BANDS: Final = 36
ROUND_U: Final = 37
ROUND_Y: Final = 38
ROUND_LANES: Final = 39  # y and its low-rank mix
ROUND_ROWS: Final = 40  # messages of sector and edges
ROUND_Z: Final = 41
# Places in the scratch memory.
LIVE: Final = 42  # 1 where present; the element before is 0, for neighbor -1
ROWS: Final = 43  # y by instrument, then centered; the row before is 0, for neighbor -1
PARTS: Final = 44  # by block: y, then what the low-rank mix is made of
FACTOR_LANES: Final = 45  # by block: queries, keys
MEAN: Final = 46
SECTOR_TOTAL: Final = 47  # rows of sectors, those of unknown sector first
SECTOR_COUNT: Final = 48
SECTOR_HIDDEN: Final = 49
TOTAL: Final = 50  # (RANK_TILES, WIDE) keys times rows
KEY_SUM: Final = 51
MIXING: Final = 52  # as `pack_matrix`: from queries to the mix, where that is rounded
HIDDEN_LANES: Final = 53  # as `pack_matrix`: from a block's parts to the hidden layer
BANDS: Final = 54
U: Final = 55
CHANGE: Final = 56
SELECTED: Final = 57
HIDDEN_BLOCK: Final = 58
HIDDEN_BLOCK_ROWS: Final = 59
MESSAGES: Final = 60
SQUARE: Final = 61
ROUNDED: Final = 62
MIX_QUERIES: Final = 63
SCORE: Final = 64
SLOTS: Final = 65
_PLACES: Final = 66

_RANK_TILE: Final = 8


class Plan(NamedTuple):
    """Parameters as the kernel reads them."""

    values: Array  # flat
    at: NDArray[np.int64]  # sizes, and places in `values`


class Workspace(NamedTuple):
    """Scratch memory of one step, allocated once per N."""

    values: Array  # flat
    at: NDArray[np.int64]  # the plan's, and places in `values`
    haar: Array  # (2^L - 1, F, BLOCK), of a last block that is not full
    h: Array  # (D, S, BLOCK), the same


class _Writer:
    """Puts arrays one behind the other, each from a multiple of `LANES` on."""

    def __init__(self) -> None:
        self.parts: list[Array] = []
        self.size = 0

    def put(self, array: Array) -> int:
        place = self.size
        flat = np.asarray(array, np.float32).ravel()
        padded = np.zeros(_up(len(flat), LANES) + LANES, np.float32)
        padded[: len(flat)] = flat
        self.parts.append(padded)
        self.size += len(padded)
        return place


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _rows(array: Array, rows: int) -> Array:
    out = np.zeros((rows, *array.shape[1:]), np.float32)
    out[: len(array)] = array
    return out


def make_plan(weights: StudentWeights) -> Plan:
    """Arrange the parameters for the kernel."""
    D, S = weights.A_inverse.shape
    R, E = len(weights.query), len(weights.edge_mass)
    L, F = weights.threshold.shape
    wide, tiles = _up(D, LANES), _up(R, _RANK_TILE)
    hidden = weights.hidden.reshape(D, 3 + E, D)
    by_input = np.zeros((3 + E, D, wide), np.float32)
    by_input[..., :D] = hidden.transpose(1, 2, 0)
    graph = bool(hidden[:, 1].any())
    parts = weights.inputs.parts
    rounds_parts = len(parts.inverse) > 0
    scales, inputs = weights.scales, weights.inputs
    at = np.full(_PLACES, -1, np.int64)
    writer = _Writer()
    at[FEATURES], at[LEVELS], at[WIDTH], at[WIDE], at[STATES] = F, L, D, wide, S
    at[RANK], at[RANK_TILES], at[EDGES], at[FACTOR_ROWS] = R, tiles, E, 2 * tiles
    at[PART_ROWS] = D + max(R if graph else 0, D if graph and rounds_parts else 0, wide - D)
    at[HAS_GRAPH], at[HAS_ROWS] = graph, hidden[:, 2:].any()
    put = writer.put
    at[THRESHOLD] = put(weights.threshold)
    at[INWARD], at[INWARD_BIAS] = put(pack_matrix(weights.inward)), put(weights.inward_bias)
    at[INWARD_SCALE] = put(scales.inward)
    at[SELECT] = put(pack_matrix(np.concatenate([weights.delta, weights.B, weights.C])))
    at[SELECT_BIAS] = put(_rows(weights.delta_bias, D + 2 * S))
    at[SELECT_SCALE] = put(np.concatenate([scales.delta, scales.B, scales.C]))
    at[RATE], at[RATE_INVERSE], at[SKIP] = put(weights.A), put(weights.A_inverse), put(weights.D)
    at[FACTORS] = put(pack_matrix(np.concatenate([_rows(weights.query, tiles), _rows(weights.key, tiles)])))
    at[FACTORS_SCALE] = put(np.concatenate([_rows(scales.query, tiles), _rows(scales.key, tiles)]))
    at[EDGE_THRESHOLD], at[EDGE_MASS] = put(weights.edge_threshold), put(weights.edge_mass)
    at[HIDDEN] = put(pack_matrix(hidden[:, 0]))
    at[HIDDEN_MIX] = put(pack_matrix(hidden[:, 1]) if rounds_parts else by_input[1])
    at[HIDDEN_ROWS] = put(by_input[2:])
    at[HIDDEN_BIAS], at[HIDDEN_SCALE] = put(_rows(weights.hidden_bias, wide)), put(scales.hidden)
    at[OUTWARD], at[OUTWARD_BIAS] = put(pack_matrix(weights.outward)), put(weights.outward_bias)
    at[OUTWARD_SCALE] = put(scales.outward)
    at[NO_BIAS] = put(np.zeros(max(D + 2 * S, 2 * tiles), np.float32))
    for place, rule in ((ROUND_BANDS, inputs.bands), (ROUND_U, inputs.u), (ROUND_Y, inputs.y)):
        at[place] = _put_rule(writer, rule, rule.inverse)
    at[ROUND_Z] = _put_rule(writer, inputs.z, inputs.z.inverse)
    if rounds_parts:
        by_part = np.zeros((3 + E, wide), np.float32)
        by_part[:, :D] = parts.inverse.reshape(3 + E, D)
        at[ROUND_LANES] = _put_rule(writer, parts, by_part[:2, :D])
        at[ROUND_ROWS] = _put_rule(writer, parts, by_part[2:])
    values = _aligned(writer.size)
    np.concatenate(writer.parts, out=values)
    return Plan(values, at)


def _aligned(size: int) -> Array:
    # From a cache line's start on: a vector that lies in two lines costs two loads.
    line = 64
    raw = np.zeros(size * 4 + line, np.uint8)
    start = -raw.ctypes.data % line
    return raw[start : start + size * 4].view(np.float32)


def _put_rule(writer: _Writer, rule: RoundedInput, inverse: Array) -> int:
    if not len(rule.inverse):
        return -1
    return writer.put(np.concatenate([[rule.low, rule.high], inverse.ravel()]).astype(np.float32))


def allocate(plan: Plan, n_instruments: int, n_sectors: int, n_slots: int) -> Workspace:
    """Allocate the scratch memory of a step."""
    at = plan.at.copy()
    at[N_SECTORS] = n_sectors
    F, L, D, wide, S, R, tiles, E = (int(n) for n in at[:8])
    bands, blocks = (L + 1) * F, -(-n_instruments // BLOCK)
    rounds_parts, graph = at[ROUND_LANES] >= 0, bool(at[HAS_GRAPH])
    mixed = (D if rounds_parts else R) if graph else 0
    tall = _up(D, TILE)
    sizes = {
        LIVE: blocks * BLOCK,
        ROWS: blocks * BLOCK * wide,
        PARTS: blocks * int(at[PART_ROWS]) * BLOCK,
        FACTOR_LANES: blocks * 2 * tiles * BLOCK if graph else 0,
        MEAN: wide,
        SECTOR_TOTAL: (n_sectors + 1) * wide,
        SECTOR_COUNT: n_sectors + 1,
        SECTOR_HIDDEN: (n_sectors + 1) * wide,
        TOTAL: tiles * wide,
        KEY_SUM: tiles,
        MIXING: tall * R,
        HIDDEN_LANES: tall * (D + mixed),
        BANDS: (bands + LANES) * BLOCK,
        U: tall * BLOCK,
        CHANGE: D * BLOCK,
        SELECTED: _up(D + 2 * S, TILE) * BLOCK,
        HIDDEN_BLOCK: wide * BLOCK,
        HIDDEN_BLOCK_ROWS: BLOCK * wide,
        MESSAGES: max(E, 1) * BLOCK * wide,
        SQUARE: LANES * LANES,
        ROUNDED: max(bands, 2 * D) * BLOCK,
        MIX_QUERIES: R * BLOCK,
        SCORE: TILE * BLOCK,
        SLOTS: n_slots,
    }
    size = 0
    for place, n in sizes.items():
        size += wide  # 0 for ever, before LIVE and ROWS
        at[place] = size
        size += _up(n, LANES)
    values = _aligned(size + LANES)
    # The rows of y stay, those of the low-rank mix are written anew in each window.
    lanes = values[at[HIDDEN_LANES] :][: tall * (D + mixed)].reshape(-1, D + mixed, TILE)
    lanes[:, :D] = plan.values[at[HIDDEN] :][: tall * D].reshape(-1, D, TILE)
    if rounds_parts and graph:
        lanes[:, D:] = plan.values[at[HIDDEN_MIX] :][: tall * D].reshape(-1, D, TILE)
    haar = np.zeros((2**L - 1, F, BLOCK), np.float32)
    return Workspace(values, at, haar, np.zeros((D, S, BLOCK), np.float32))
