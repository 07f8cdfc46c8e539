"""The teacher's graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cs3g_model.graph import EvolvingGraph, WeightedSum
from cs3g_model.inputs import Graph, initial_tensors, snapshot_tensors
from cs3g_model.selection import SECTOR_AFFINITY, select_edges
from tests.unit.cs3g_model.factories import make_snapshots

RELATIONS = ("sector", "correlation", "lead")


def build(y: torch.Tensor, edges: int = 3, seed: int = 0, **inputs: object) -> tuple[Graph, object]:
    torch.manual_seed(seed)
    graph = EvolvingGraph(y.shape[2], heads=2, rank=3, edges=edges, state_size=2, relations=RELATIONS).to(
        y.dtype
    )
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
    graph = EvolvingGraph(6, heads=2, rank=3, edges=3, state_size=0, relations=()).to(torch.float64)
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


def test_select_edges_is_the_sorted_dense_row() -> None:
    g = np.random.default_rng(0)
    H, N, K, M = 2, 30, 6, 5
    dense = g.standard_normal((H, N, N)).astype(np.float32)
    coefficients = g.uniform(0.5, 2, (H, 3)).astype(np.float32)
    mask, sector = g.random(N) < 0.8, g.integers(-1, 4, N)
    neighbors = np.array([g.choice(N, K, replace=False) for _ in range(N)])
    neighbors[::3, 1] = -1
    weights = g.uniform(-1, 1, (N, K)).astype(np.float32)
    relation = np.zeros((3, N, N), np.float32)
    same = (sector[:, None] == sector) & (sector >= 0)
    relation[0][same] = SECTOR_AFFINITY
    for i in range(N):
        for k in range(K):
            if neighbors[i, k] >= 0:
                relation[1 if k < 2 else 2, i, neighbors[i, k]] = max(weights[i, k], 0)
    expected = dense + np.einsum("hp,pij->hij", coefficients, relation)
    expected[:, :, ~mask] = -np.inf
    expected[:, np.arange(N), np.arange(N)] = -np.inf
    index = np.empty((H, N, M), np.int64)
    values = np.empty((H, N, M, 3), np.float32)
    select_edges(dense, coefficients, mask, sector, neighbors, weights, np.array([2, 6]), True, index, values)
    np.testing.assert_array_equal(index, np.argsort(-expected, axis=2, kind="stable")[:, :, :M])
    for i in range(N):
        np.testing.assert_array_equal(values[:, i], relation[:, i].T[index[:, i]])


def test_a_row_without_enough_others_is_filled_with_itself() -> None:
    dense = np.zeros((1, 4, 4), np.float32)
    index = np.empty((1, 4, 3), np.int64)
    none = np.empty((1, 4, 3, 0), np.float32)
    mask = np.array([True, False, True, False])
    nobody = np.empty((4, 0), np.int64)
    slots = np.empty((4, 0), np.float32)
    sector = np.zeros(4, np.int64)
    select_edges(
        dense,
        np.empty((1, 0), np.float32),
        mask,
        sector,
        nobody,
        slots,
        np.empty(0, np.int64),
        False,
        index,
        none,
    )
    assert index[0].tolist() == [[2, 0, 0], [0, 2, 1], [0, 2, 2], [0, 2, 3]]


@pytest.mark.parametrize(("N", "edges"), [(1, 4), (3, 4), (17, 16), (40, 16), (90, 3)])
@pytest.mark.parametrize("relations", [(), ("lead",), RELATIONS])
def test_mixing_without_the_graph_is_passing_along_it(N: int, edges: int, relations: tuple[str, ...]) -> None:
    torch.manual_seed(N)
    graph = EvolvingGraph(8, heads=2, rank=3, edges=edges, state_size=2, relations=relations)
    x = snapshot_tensors(make_snapshots(T=1, N=N, presence=2.0))
    state = initial_tensors(graph.state_shapes(), N)
    y, values = 3 * torch.randn(1, N, 8), torch.randn(1, N, 8)
    with torch.no_grad():
        made, after = graph(y, x, state)
        rows = values.view(1, N, 2, 4).transpose(1, 2).reshape(2 * N, 4)
        told = WeightedSum()(rows, made).view(2, N, 4).transpose(0, 1).reshape(1, N, 8)
        mixed, same = graph.mix(y, values, x, state)
    torch.testing.assert_close(mixed, told, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(same, after)


def test_equally_strong_edges_are_kept_by_index() -> None:
    N, edges = 50, 4
    graph = EvolvingGraph(8, heads=1, rank=3, edges=edges, state_size=0, relations=())
    x = snapshot_tensors(make_snapshots(T=1, N=N, presence=2.0))
    y, values = torch.ones(1, N, 8), torch.randn(1, N, 8)
    with torch.no_grad():
        mixed, _ = graph.mix(y, values, x, {})
    # Every logit is the same, so that nothing is above the first that is cut.
    np.testing.assert_array_equal(mixed.numpy(), 0)
