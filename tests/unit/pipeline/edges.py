"""Small relations of every kind, so that a few windows refresh them all."""

from __future__ import annotations

from pipeline.announced_relations import Edges
from pipeline.graph_config import GraphConfig
from tests.unit.pipeline.ticks import SIZE

CONFIG = GraphConfig(
    "u",
    SIZE,
    neighbors=2,
    correlation_windows=4,
    correlation_stride=3,
    lead_neighbors=2,
    lead_windows=5,
    lead_stride=2,
)
EDGES = {"supply": Edges.from_lists({1: [(3, 1.0), (2, -0.5)], 2: [(1, -0.5)], 3: [(1, 1.0)]})}
