"""Edge relations that are announced with the instruments and do not change while ticks flow."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from topics.control import Instrument
from topics.types import Float32Array, Int32Array, UInt32Array

MAX_RELATIONS: Final = 16
MAX_NEIGHBORS: Final = 8
"""Slots of an announced relation: the most neighbors that an instrument keeps of it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Edges:
    """One relation's edges, grouped by the instrument that they lead to.

    Attributes
    ----------
    instrument_ids
        (D,) ascending, instruments with at least one edge.
    others
        (D, K) where the edges come from, strongest first, 0 for none; K is the most that one has.
    weights
        (D, K) in [-1, 1], 0 for none.
    """

    instrument_ids: UInt32Array
    others: UInt32Array
    weights: Float32Array

    @property
    def width(self) -> int:
        """K, the relation's number of slots."""
        return int(self.others.shape[1])

    @classmethod
    def from_lists(cls, edges: Mapping[int, list[tuple[int, float]]]) -> Self:
        """Make them of (other, weight), strongest first, by instrument; none may be empty."""
        ids = sorted(edges)
        shape = len(ids), max((len(found) for found in edges.values()), default=0)
        others, weights = np.zeros(shape, np.uint32), np.zeros(shape, np.float32)
        for row, number in enumerate(ids):
            for slot, (other, weight) in enumerate(edges[number]):
                others[row, slot], weights[row, slot] = other, weight
        return cls(np.array(ids, np.uint32), others, weights)

    def positions(self, instrument_ids: UInt32Array) -> tuple[Int32Array, Float32Array]:
        """Return the edges among some instruments, ascending, as (N, K) positions, -1 for none, and weights."""
        n = len(instrument_ids)
        neighbors = np.full((n, self.width), -1, np.int32)
        weights = np.zeros((n, self.width), np.float32)
        if not n:
            return neighbors, weights
        place = np.minimum(np.searchsorted(instrument_ids, self.others), n - 1)
        found = np.where(instrument_ids[place] == self.others, place, -1)
        rows = np.minimum(np.searchsorted(instrument_ids, self.instrument_ids), n - 1)
        known = instrument_ids[rows] == self.instrument_ids
        neighbors[rows[known]] = found[known]
        weights[rows[known]] = self.weights[known]
        return neighbors, weights


def read_edges(instruments: Iterable[Instrument]) -> dict[str, Edges]:
    """Read the edges that instruments of one universe announce, by relation, sorted by name.

    Edges from instruments that are not among them, from an instrument to itself and of weight 0 are no edges;
    of several from the same the strongest holds. An instrument keeps the strongest `MAX_NEIGHBORS` of a
    relation, ties by symbol, and the universe the first `MAX_RELATIONS` by name; a warning counts the rest.
    """
    known = {one.instrument_id: one for one in instruments}
    found: dict[str, dict[int, dict[int, float]]] = {}
    for number, one in known.items():
        for edge in one.related:
            if edge.instrument_id in known and edge.instrument_id != number and edge.weight:
                others = found.setdefault(edge.relation, {}).setdefault(number, {})
                before = others.get(edge.instrument_id, 0.0)
                others[edge.instrument_id] = max(before, edge.weight, key=lambda w: (abs(w), w))
    names = sorted(found)
    if len(names) > MAX_RELATIONS:
        logger.warning("%d relations are left out: %s", len(names) - MAX_RELATIONS, names[MAX_RELATIONS:])
    symbols = {number: one.symbol for number, one in known.items()}
    return {
        name: Edges.from_lists(keep_strongest(name, found[name], symbols)) for name in names[:MAX_RELATIONS]
    }


def keep_strongest(
    name: str, edges: Mapping[int, Mapping[int, float]], symbols: Mapping[int, str]
) -> dict[int, list[tuple[int, float]]]:
    """Return each instrument's strongest `MAX_NEIGHBORS` (other, weight), strongest first, ties by symbol.

    A warning that names the relation counts the rest.
    """
    kept, n_left_out = {}, 0
    for number, others in edges.items():
        ranked = sorted(others.items(), key=lambda edge: (-abs(edge[1]), symbols[edge[0]], edge[0]))
        kept[number] = ranked[:MAX_NEIGHBORS]
        n_left_out += len(ranked) - len(kept[number])
    if n_left_out:
        logger.warning(
            "relation %r: %d edges are left out, an instrument keeps its strongest %d",
            name,
            n_left_out,
            MAX_NEIGHBORS,
        )
    return kept
