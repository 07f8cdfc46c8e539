"""The graph that a model has learned, as it was in one window: who listens to whom, and how much.

Of a teacher: the edges of its last block, the mean over heads. Of a student: its low-rank graph, row i being
phi(q_i) phi(K)^T over its sum. What relations add beside it is not in here.

Letters: N instruments present in the window, S sectors.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from cs3g.ab.market import Market
from cs3g_model.artifacts import Artifact
from cs3g_model.config import TeacherConfig
from cs3g_model.snapshots import Snapshots
from cs3g_model.state import HiddenState
from topics.types import Float64Array, Int64Array

__all__ = ["SHOWN_EDGES", "dense_graph", "graph_values"]

SHOWN_EDGES: Final = 60
SHOWN_SOURCES: Final = 8
_DIGITS: Final = 6
"""Of weights in a report: beyond, the order of torch's additions may show."""


def dense_graph(artifact: Artifact, snapshot: Snapshots, before: HiddenState) -> Float64Array | None:
    """Compute a model's graph of one window.

    Parameters
    ----------
    artifact
        The model.
    snapshot
        One window, T = 1, of all instruments.
    before
        Hidden state before it.

    Returns
    -------
    (N, N) float64 over the present instruments; row the instrument that listens, column the one it listens to,
    0 for no edge. None where the model has no graph or nobody is present.
    """
    import torch

    from cs3g_model.inputs import arrays_to_state, snapshot_tensors
    from cs3g_model.student import Student
    from cs3g_model.teacher import Teacher
    from cs3g_model.teacher_runtime import load_tensors, single_thread

    config = artifact.manifest.model_config()
    present = np.flatnonzero(snapshot.mask[0])
    if not config.graph or not len(present):
        return None
    module = Teacher(config) if isinstance(config, TeacherConfig) else Student(config)
    load_tensors(module.eval(), artifact.tensors)
    x = snapshot_tensors(_present_only(snapshot, present))
    state = arrays_to_state({name: array[..., present] for name, array in before.arrays.items()})
    n = len(present)
    with single_thread(), torch.inference_mode():
        output, _ = module(x, state)
        if output.graph_rows is not None:
            q, k = (rows[0].numpy().astype(np.float64) for rows in output.graph_rows)
            product = q @ k.T
            return np.asarray(product / np.maximum(product.sum(axis=1, keepdims=True), 1e-12))
        if output.graph is None:
            return None
        source, destination = output.graph.edge_index.numpy()
        weights = output.graph.edge_weight.numpy().astype(np.float64)
    heads = config.heads if isinstance(config, TeacherConfig) else 1
    dense = np.zeros((n, n))
    np.add.at(dense, (destination % n, source % n), weights / heads)
    return dense


def graph_values(
    graphs: dict[str, Float64Array | None], snapshot: Snapshots, market: Market, ts_close: int
) -> dict[str, Any]:
    """Return the strongest edges of each model, who is heard most, and what sectors listen to.

    Parameters
    ----------
    graphs
        As of `dense_graph`, by model.
    snapshot
        The window.
    ts_close
        Its end, ns.
    """
    present = np.flatnonzero(snapshot.mask[0])
    symbols = [market.symbols[i] for i in present]
    sector = market.sector[present].astype(np.int64)
    codes = np.unique(sector[sector >= 0])
    models: dict[str, Any] = {}
    for name, dense in graphs.items():
        if dense is None:
            continue
        off = dense * (1 - np.eye(len(dense)))
        # By weight, then by place: equal weights come in one order.
        order = np.argsort(-off, axis=None, kind="stable")[:SHOWN_EDGES]
        edges = [
            {"to": symbols[i], "from": symbols[j], "weight": round(float(off[i, j]), _DIGITS)}
            for i, j in zip(*np.unravel_index(order, off.shape), strict=True)
            if off[i, j] > 0
        ]
        heard = off.mean(axis=0)
        loudest = np.argsort(-heard, kind="stable")[:SHOWN_SOURCES]
        models[name] = {
            "edges": edges,
            "heard": [
                {"from": symbols[j], "weight": round(float(heard[j]), _DIGITS)}
                for j in loudest
                if heard[j] > 0
            ],
            "sector_lift": _sector_lift(off, sector, codes),
        }
    return {
        "ts_close": ts_close,
        "instruments": len(present),
        "sector_names": [market.sector_name(int(code)) for code in codes],
        "sector_of": {
            symbol: market.sector_name(int(code)) for symbol, code in _shown(models, symbols, sector)
        },
        "models": models,
    }


def _shown(models: dict[str, Any], symbols: list[str], sector: Int64Array) -> list[tuple[str, int]]:
    """Return symbol and sector of every end of an edge that is shown, where the sector is known."""
    ends = {edge[end] for model in models.values() for edge in model["edges"] for end in ("to", "from")}
    return [(s, c) for s, c in zip(symbols, sector.tolist(), strict=True) if s in ends and c >= 0]


def _sector_lift(off: Float64Array, sector: Int64Array, codes: Int64Array) -> list[list[float]]:
    """Return (S, S): the share of its weight that the row's sector gives to the column's, over who is there.

    1 where nobody is preferred; who is there is the share of the other instruments that are in the sector.
    """
    member = (sector[None, :] == codes[:, None]).astype(np.float64)  # (S, N)
    counts = member.sum(axis=1)
    given = member @ off @ member.T
    total = (member @ off).sum(axis=1, keepdims=True)
    others = counts[None, :] - np.eye(len(codes))
    expected = others / max(off.shape[0] - 1, 1)
    lift = np.zeros_like(given)
    np.divide(given, total * expected, out=lift, where=(total > 0) & (expected > 0))
    return [[round(float(v), 3) for v in row] for row in lift]


def _present_only(snapshot: Snapshots, present: Int64Array) -> Snapshots:
    """Take the absent out of one window; neighbors that are absent become -1."""
    place = np.full(snapshot.mask.shape[1] + 1, -1, np.int32)
    place[present] = np.arange(len(present), dtype=np.int32)
    return Snapshots(
        features=snapshot.features[:, present],
        mask=np.ones((1, len(present)), np.bool_),
        sector=snapshot.sector[present],
        neighbors=place[snapshot.neighbors[:, present]],
        neighbor_weights=snapshot.neighbor_weights[:, present],
        relations=snapshot.relations,
    )
