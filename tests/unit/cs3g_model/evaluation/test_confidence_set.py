"""The model confidence set keeps what it cannot tell from the best."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g_model.errors import ConfigError, EvaluationError
from cs3g_model.evaluation.confidence_set import confidence_set


def make_losses(n: int = 300) -> dict[str, np.ndarray]:
    g = np.random.default_rng(0)
    common = g.standard_normal(n)
    return {
        "good": common + 0.1 * g.standard_normal(n),
        "as good": common + 0.1 * g.standard_normal(n),
        "bad": common + 0.1 * g.standard_normal(n) + 0.1,
    }


def test_a_worse_model_is_left_out() -> None:
    found = confidence_set(make_losses())
    assert set(found.included) == {"good", "as good"}
    assert found.p_values["bad"] < 0.01
    assert max(found.p_values.values()) == 1
    assert found.p_values[found.included[0]] == 1


def test_equal_models_stand_together() -> None:
    losses = make_losses()
    losses["copy"] = losses["bad"].copy()
    found = confidence_set(losses)
    assert found.p_values["copy"] == found.p_values["bad"]
    assert found.p_values["good"] == confidence_set(make_losses()).p_values["good"]
    same = confidence_set({"a": losses["bad"], "b": losses["bad"]})
    assert same.p_values == {"a": 1.0, "b": 1.0}
    assert same.included == ("a", "b")


def test_it_is_seeded() -> None:
    losses = make_losses()
    losses["bad"] -= 0.09
    assert confidence_set(losses) == confidence_set(losses)
    assert confidence_set(losses).p_values != confidence_set(losses, seed=1).p_values


def test_the_best_is_kept_as_often_as_it_says() -> None:
    g = np.random.default_rng(1)
    kept = [
        "a"
        in confidence_set(
            {name: g.standard_normal(80) for name in "abc"}, block=1, draws=100, seed=i
        ).included
        for i in range(60)
    ]
    assert np.mean(kept) > 0.8


def test_wrong_input_is_refused() -> None:
    with pytest.raises(EvaluationError, match="two models"):
        confidence_set({"one": np.zeros(9)})
    with pytest.raises(EvaluationError, match="same windows"):
        confidence_set({"one": np.zeros(9), "two": np.zeros(8)})
    with pytest.raises(ConfigError, match="size"):
        confidence_set(make_losses(), size=0)
