from __future__ import annotations

import logging

import numpy as np
import pytest

from pipeline.announced_relations import MAX_NEIGHBORS, MAX_RELATIONS, Edges, read_edges
from topics.control import Instrument, Related


def instrument(number: int, *related: Related, symbol: str = "") -> Instrument:
    return Instrument(instrument_id=number, symbol=symbol or f"S{number}", universe="u", related=related)


def edges_of(found: Edges) -> dict[int, list[tuple[int, float]]]:
    return {
        int(number): [(int(o), float(w)) for o, w in zip(others, weights, strict=True) if o]
        for number, others, weights in zip(found.instrument_ids, found.others, found.weights, strict=True)
    }


def test_edges_come_strongest_first_by_relation() -> None:
    announced = [
        instrument(1, Related("supply", 3, 0.25), Related("supply", 2, -0.5), Related("owns", 2)),
        instrument(2, Related("supply", 1, 0.125)),
        instrument(3),
    ]
    found = read_edges(announced)
    assert list(found) == ["owns", "supply"]
    assert edges_of(found["supply"]) == {1: [(2, -0.5), (3, 0.25)], 2: [(1, 0.125)]}
    assert (found["supply"].width, found["owns"].width) == (2, 1)


def test_what_is_no_edge_is_left_out() -> None:
    twice = Related("y", 2, 0.5), Related("y", 2, -0.75)
    announced = [
        instrument(1, *(Related("x", *edge) for edge in ((1,), (9,), (2, 0.0))), *twice),
        instrument(2),
    ]
    assert {name: edges_of(found) for name, found in read_edges(announced).items()} == {
        "y": {1: [(2, -0.75)]}
    }


def test_the_strongest_are_kept_ties_by_symbol_and_a_warning_counts_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    others = [instrument(n, symbol=f"Z{99 - n}") for n in range(2, 13)]
    hub = instrument(1, *(Related("x", n, 1.0 if n == 2 else 0.5) for n in range(2, 13)))
    with caplog.at_level(logging.WARNING):
        found = read_edges([hub, *others])["x"]
    assert [other for other, _ in edges_of(found)[1]] == [2, *range(12, 12 - MAX_NEIGHBORS + 1, -1)]
    assert "relation 'x': 3 edges are left out" in caplog.text


def test_a_universe_has_so_many_relations(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"r{n:02}" for n in range(MAX_RELATIONS + 1)]
    with caplog.at_level(logging.WARNING):
        found = read_edges([instrument(1, *(Related(name, 2) for name in names)), instrument(2)])
    assert list(found) == names[:-1]
    assert "1 relations are left out: ['r16']" in caplog.text


def test_positions_are_among_the_instruments_at_hand() -> None:
    edges = Edges.from_lists({2: [(9, 1.0), (4, -0.5)], 9: [(2, 1.0)]})
    neighbors, weights = edges.positions(np.array([2, 4, 7], np.uint32))
    assert neighbors.tolist() == [[-1, 1], [-1, -1], [-1, -1]]
    assert weights.tolist() == [[1.0, -0.5], [0, 0], [0, 0]]
    neighbors, _ = edges.positions(np.array([1, 2, 9], np.uint32))
    assert neighbors.tolist() == [[-1, -1], [2, -1], [1, -1]]
