"""Runs of snapshots as values."""

from __future__ import annotations

import numpy as np

from cs3g_model.snapshots import slots_of
from tests.unit.cs3g_model.factories import make_snapshots


def test_a_window_is_a_view_of_every_array_and_keeps_what_has_no_time() -> None:
    whole = make_snapshots(T=9)
    part = whole.window(2, 5)
    for name in ("features", "mask", "neighbors", "neighbor_weights"):
        cut, full = getattr(part, name), getattr(whole, name)
        np.testing.assert_array_equal(cut, full[2:5])
        assert np.shares_memory(cut, full)
    assert part.sector is whole.sector
    assert part.relations == whole.relations


def test_a_relation_that_is_not_there_has_no_slots() -> None:
    relations = (("correlation", 2), ("lead", 3))
    assert slots_of(relations, "lead") == slice(2, 5)
    assert slots_of(relations, "supply") == slice(0, 0)
