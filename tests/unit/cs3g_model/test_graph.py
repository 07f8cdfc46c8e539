"""The teacher's graph."""

from __future__ import annotations

import torch

from cs3g_model.graph import EvolvingGraph, Graph, WeightedSum
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from tests.unit.cs3g_model.factories import make_snapshots


def build(y: torch.Tensor, edges: int = 3, seed: int = 0, **inputs: object) -> tuple[Graph, object]:
    torch.manual_seed(seed)
    graph = EvolvingGraph(y.shape[2], heads=2, rank=3, edges=edges, state_size=2, relations=True).to(y.dtype)
    s = make_snapshots(T=y.shape[0], N=y.shape[1], **inputs)
    x = snapshot_tensors(s, y.dtype)
    return graph(y, x, initial_tensors(graph.state_shapes(), y.shape[1], y.dtype))[0], x


def dense(graph: Graph, T: int, H: int, N: int) -> torch.Tensor:
    """Weights as (T, H, N destinations, N sources)."""
    out = torch.zeros(T * H * N, N, dtype=graph.edge_weight.dtype)
    out[graph.edge_index[1], graph.edge_index[0] % N] = graph.edge_weight
    return out.view(T, H, N, N)


def test_nodes_keep_at_most_k_edges_of_present_others() -> None:
    y = torch.randn(4, 12, 6)
    graph, x = build(y)
    source, destination = graph.edge_index
    assert (source != destination).all()
    assert torch.bincount(destination).max() == 3
    present = x.mask[:, None, :].expand(4, 2, 12).flatten()
    assert present[source].all()
    assert present[destination].all()
    assert (source // 12 == destination // 12).all()


def test_incoming_weights_are_positive_and_sum_to_less_than_one() -> None:
    graph, _ = build(torch.randn(4, 12, 6))
    total = torch.zeros(4 * 2 * 12).index_add(0, graph.edge_index[1], graph.edge_weight)
    assert (graph.edge_weight >= 0).all()
    assert total.max() < 1
    assert graph.edge_weight.max() > 0.01


def test_weights_are_continuous_where_the_edges_change() -> None:
    # Walk along a line in the space of node states; edges swap, weights must not jump.
    torch.manual_seed(0)
    a, b = torch.randn(2, 1, 10, 6, dtype=torch.float64)
    steps = 600
    line = torch.cat([a + (b - a) * i / steps for i in range(steps + 1)])
    graph = EvolvingGraph(6, heads=2, rank=3, edges=3, state_size=0, relations=False).to(torch.float64)
    x = snapshot_tensors(make_snapshots(T=steps + 1, N=10, presence=1.0), torch.float64)
    with torch.no_grad():
        found, _ = graph(line, x, {})
    weights = dense(found, steps + 1, 2, 10)
    swaps = ((weights[1:] > 0) != (weights[:-1] > 0)).sum()
    assert swaps > 20
    assert (weights[1:] - weights[:-1]).abs().max() < 0.02


def test_the_factors_remember() -> None:
    y = torch.randn(6, 10, 6)
    whole, _ = build(y, presence=1.0)
    alone, _ = build(y[-1:], presence=1.0)
    last = dense(whole, 6, 2, 10)[-1]
    assert (last - dense(alone, 1, 2, 10)[0]).abs().max() > 1e-3


def test_weighted_sum_is_the_matrix_product() -> None:
    graph, _ = build(torch.randn(3, 8, 6))
    values = torch.randn(3 * 2 * 8, 4)
    expected = (dense(graph, 3, 2, 8) @ values.view(3, 2, 8, 4)).flatten(0, 2)
    torch.testing.assert_close(WeightedSum()(values, graph), expected)
