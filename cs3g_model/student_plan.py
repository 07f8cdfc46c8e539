"""How the student's kernel finds its numbers: two flat float32 arrays, and the places of things in them.

Parameters are one array and scratch memory is another, because a call that takes sixty arrays spends more
time on taking them than the kernel spends on a hundred instruments.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cs3g_model import student_places as places
from cs3g_model.lanes import LANES
from cs3g_model.linear_kernel import BLOCK, TILE, RoundedInput, pack_matrix
from cs3g_model.student_weights import StudentWeights

__all__ = ["Plan", "Workspace", "allocate", "make_plan"]

Array = NDArray[np.float32]

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
    at = np.full(places.N_PLACES, -1, np.int64)
    writer = _Writer()
    at[places.FEATURES], at[places.LEVELS] = F, L
    at[places.WIDTH], at[places.WIDE], at[places.STATES] = D, wide, S
    at[places.RANK], at[places.RANK_TILES], at[places.FACTOR_ROWS] = R, tiles, 2 * tiles
    at[places.EDGES] = E
    at[places.PART_ROWS] = D + max(R if graph else 0, D if graph and rounds_parts else 0, wide - D)
    at[places.HAS_GRAPH], at[places.HAS_ROWS] = graph, hidden[:, 2:].any()
    put = writer.put
    at[places.THRESHOLD] = put(weights.threshold)
    at[places.INWARD], at[places.INWARD_BIAS] = put(pack_matrix(weights.inward)), put(weights.inward_bias)
    at[places.INWARD_SCALE] = put(scales.inward)
    at[places.SELECT] = put(pack_matrix(np.concatenate([weights.delta, weights.B, weights.C])))
    at[places.SELECT_BIAS] = put(_rows(weights.delta_bias, D + 2 * S))
    at[places.SELECT_SCALE] = put(np.concatenate([scales.delta, scales.B, scales.C]))
    at[places.RATE], at[places.RATE_INVERSE] = put(weights.A), put(weights.A_inverse)
    at[places.SKIP] = put(weights.D)
    at[places.FACTORS] = put(
        pack_matrix(np.concatenate([_rows(weights.query, tiles), _rows(weights.key, tiles)]))
    )
    at[places.FACTORS_SCALE] = put(np.concatenate([_rows(scales.query, tiles), _rows(scales.key, tiles)]))
    at[places.EDGE_THRESHOLD], at[places.EDGE_MASS] = put(weights.edge_threshold), put(weights.edge_mass)
    at[places.HIDDEN] = put(pack_matrix(hidden[:, 0]))
    at[places.HIDDEN_MIX] = put(pack_matrix(hidden[:, 1]) if rounds_parts else by_input[1])
    at[places.HIDDEN_ROWS] = put(by_input[2:])
    at[places.HIDDEN_BIAS] = put(_rows(weights.hidden_bias, wide))
    at[places.HIDDEN_SCALE] = put(scales.hidden)
    at[places.OUTWARD], at[places.OUTWARD_BIAS] = put(pack_matrix(weights.outward)), put(weights.outward_bias)
    at[places.OUTWARD_SCALE] = put(scales.outward)
    at[places.NO_BIAS] = put(np.zeros(max(D + 2 * S, 2 * tiles), np.float32))
    at[places.ROUND_BANDS] = _put_rule(writer, inputs.bands, inputs.bands.inverse)
    at[places.ROUND_U] = _put_rule(writer, inputs.u, inputs.u.inverse)
    at[places.ROUND_Y] = _put_rule(writer, inputs.y, inputs.y.inverse)
    at[places.ROUND_Z] = _put_rule(writer, inputs.z, inputs.z.inverse)
    if rounds_parts:
        by_part = np.zeros((3 + E, wide), np.float32)
        by_part[:, :D] = parts.inverse.reshape(3 + E, D)
        at[places.ROUND_LANES] = _put_rule(writer, parts, by_part[:2, :D])
        at[places.ROUND_ROWS] = _put_rule(writer, parts, by_part[2:])
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
    at[places.N_SECTORS] = n_sectors
    F, L, D, wide, S, R, tiles, E = (int(n) for n in at[:8])
    bands, blocks = (L + 1) * F, -(-n_instruments // BLOCK)
    rounds_parts, graph = at[places.ROUND_LANES] >= 0, bool(at[places.HAS_GRAPH])
    mixed = (D if rounds_parts else R) if graph else 0
    tall = _up(D, TILE)
    sizes = {
        places.LIVE: blocks * BLOCK,
        places.ROWS: blocks * BLOCK * wide,
        places.PARTS: blocks * int(at[places.PART_ROWS]) * BLOCK,
        places.FACTOR_LANES: blocks * 2 * tiles * BLOCK if graph else 0,
        places.MEAN: wide,
        places.SECTOR_TOTAL: (n_sectors + 1) * wide,
        places.SECTOR_COUNT: n_sectors + 1,
        places.SECTOR_HIDDEN: (n_sectors + 1) * wide,
        places.TOTAL: tiles * wide,
        places.KEY_SUM: tiles,
        places.MIXING: tall * R,
        places.HIDDEN_LANES: tall * (D + mixed),
        places.BANDS: (bands + LANES) * BLOCK,
        places.U: tall * BLOCK,
        places.CHANGE: D * BLOCK,
        places.SELECTED: _up(D + 2 * S, TILE) * BLOCK,
        places.HIDDEN_BLOCK: wide * BLOCK,
        places.HIDDEN_BLOCK_ROWS: BLOCK * wide,
        places.MESSAGES: max(E, 1) * BLOCK * wide,
        places.SQUARE: LANES * LANES,
        places.ROUNDED: max(bands, 2 * D) * BLOCK,
        places.MIX_QUERIES: R * BLOCK,
        places.SCORE: TILE * BLOCK,
        places.SLOTS: n_slots,
    }
    size = 0
    for place, n in sizes.items():
        size += wide  # 0 for ever, before LIVE and ROWS
        at[place] = size
        size += _up(n, LANES)
    values = _aligned(size + LANES)
    # The rows of y stay, those of the low-rank mix are written anew in each window.
    lanes = values[at[places.HIDDEN_LANES] :][: tall * (D + mixed)].reshape(-1, D + mixed, TILE)
    lanes[:, :D] = plan.values[at[places.HIDDEN] :][: tall * D].reshape(-1, D, TILE)
    if rounds_parts and graph:
        lanes[:, D:] = plan.values[at[places.HIDDEN_MIX] :][: tall * D].reshape(-1, D, TILE)
    haar = np.zeros((2**L - 1, F, BLOCK), np.float32)
    return Workspace(values, at, haar, np.zeros((D, S, BLOCK), np.float32))
