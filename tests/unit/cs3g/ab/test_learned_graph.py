"""The learned graph of a window: the very weights by which the model passes messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cs3g.ab.learned_graph import dense_graph, graph_values
from cs3g_model.artifacts import Artifact, load_artifact, save_artifact
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.state import HiddenState
from tests.unit.cs3g.ab.factories import make_market
from tests.unit.cs3g_model.factories import (
    SMALL_STUDENT,
    SMALL_TEACHER,
    make_snapshots,
    student_module,
    teacher_module,
    tensors_of,
)

N = 12
SNAPSHOT = make_snapshots(T=1, N=N, presence=0.8, seed=3)
PRESENT = np.flatnonzero(SNAPSHOT.mask[0])


def artifact(folder: Path, role: str) -> Artifact:
    config = SMALL_TEACHER if role == "teacher" else SMALL_STUDENT
    module = teacher_module() if role == "teacher" else student_module()
    return load_artifact(save_artifact(folder, config, tensors_of(module)))


def fresh_state(role: str) -> HiddenState:
    module = teacher_module() if role == "teacher" else student_module()
    return HiddenState(
        {name: np.zeros((*shape, N), np.float32) for name, shape in module.state_shapes().items()}, "any"
    )


def test_a_teachers_rows_are_its_messages(tmp_path: Path) -> None:
    found = dense_graph(artifact(tmp_path, "teacher"), SNAPSHOT, fresh_state("teacher"))
    assert found is not None
    assert found.shape == (len(PRESENT), len(PRESENT))
    assert (found >= 0).all()
    assert np.diag(found).tolist() == [0.0] * len(PRESENT)  # nobody is its own neighbor
    assert (found.sum(axis=1) <= 1 + 1e-6).all()
    assert ((found > 0).sum(axis=1) <= SMALL_TEACHER.heads * SMALL_TEACHER.edges).all()
    assert found.sum() > 0
    # The module on all instruments says the same of those that are present.
    module = teacher_module()
    with torch.inference_mode():
        output, _ = module(snapshot_tensors(SNAPSHOT), initial_tensors(module.state_shapes(), N))
    assert output.graph is not None
    whole = np.zeros((N, N))
    source, destination = output.graph.edge_index.numpy() % N
    np.add.at(whole, (destination, source), output.graph.edge_weight.numpy() / SMALL_TEACHER.heads)
    assert found == pytest.approx(whole[np.ix_(PRESENT, PRESENT)], abs=1e-5)


def test_a_students_rows_are_its_low_rank_graph(tmp_path: Path) -> None:
    found = dense_graph(artifact(tmp_path, "student"), SNAPSHOT, fresh_state("student"))
    assert found is not None
    assert found.sum(axis=1) == pytest.approx(np.ones(len(PRESENT)))
    assert np.linalg.matrix_rank(found, tol=1e-6) <= SMALL_STUDENT.rank


def test_a_model_without_a_graph_or_a_window_without_anybody_has_none(tmp_path: Path) -> None:
    nobody = replace(SNAPSHOT, mask=np.zeros_like(SNAPSHOT.mask))
    model = artifact(tmp_path, "student")
    assert dense_graph(model, nobody, fresh_state("student")) is None
    config = type(SMALL_STUDENT)(width=6, state_size=3, rank=4, graph=False)
    plain = load_artifact(save_artifact(tmp_path, config, tensors_of(student_module(config))))
    assert dense_graph(plain, SNAPSHOT, fresh_state("student")) is None


def test_edges_come_strongest_first_and_sectors_by_their_preference() -> None:
    market = make_market(0, t=1, n=4, sectors=2)  # 0 and 2 are of sector A, 1 and 3 of B
    snapshot = make_snapshots(T=1, N=4, presence=1.0)
    dense = np.zeros((4, 4))
    dense[0, 2], dense[1, 2], dense[3, 3] = 0.6, 0.2, 0.9  # the last is a self loop
    found = graph_values({"a": dense, "none": None}, snapshot, market, 7)
    assert found["models"].keys() == {"a"}
    assert found["models"]["a"]["edges"] == [
        {"to": "S00", "from": "S02", "weight": 0.6},
        {"to": "S01", "from": "S02", "weight": 0.2},
    ]
    assert found["models"]["a"]["heard"] == [{"from": "S02", "weight": 0.2}]
    # Sector A gives all to its own, of which one other in three is left; B gives all to A, two of three others.
    assert found["models"]["a"]["sector_lift"] == [[3.0, 0.0], [1.5, 0.0]]
    assert found["sector_of"] == {"S00": "sector A", "S01": "sector B", "S02": "sector A"}
