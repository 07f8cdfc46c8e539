"""A model under another role scores what it scores under its own."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.protocol import StreamingModel
from pipeline.roles import as_role
from tests.unit.cs3g_model.factories import make_runtime, make_snapshots
from topics.types import Role


@pytest.mark.parametrize(("own", "other"), [("student", "teacher"), ("teacher", "student")])
def test_the_role_changes_no_score(own: Role, other: Role) -> None:
    model = make_runtime(own)
    served = as_role(model, other)
    assert isinstance(served, StreamingModel)
    assert (served.role, served.model_id, served.warmup) == (other, model.model_id, model.warmup)
    snapshots = make_snapshots(T=6)
    state = served.initial_state(snapshots.mask.shape[1])
    scores, after = served.step_many(snapshots, state)
    expected, state_of_model = model.step_many(snapshots, model.initial_state(snapshots.mask.shape[1]))
    assert scores.tobytes() == expected.tobytes()
    assert after.to_bytes() == state_of_model.to_bytes()
    first, _ = served.step(snapshots.window(0, 1), state)
    assert np.array_equal(first, scores[0])


def test_a_model_in_its_own_role_is_itself() -> None:
    model = make_runtime("student")
    assert as_role(model, "student") is model
