from __future__ import annotations

import numpy as np
import pytest

from benchmarks.baselines.reach import auroc, main, measure
from replay.generator.config import MarketConfig
from replay.generator.market import generate_market


def test_auroc_counts_pairs() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.8, 0.2])
    positive = np.array([False, True, False, True, False])
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(pairs))


def test_a_planted_graph_is_seen_and_most_of_the_oracle_reached() -> None:
    found = measure(generate_market(MarketConfig(instruments=60, windows=900, seed=1)))
    assert found["reach"] > 0.85
    last = found["stretches"][-1]
    assert last["auroc_standardized"] > 0.95
    assert 0.4 < last["edge_standardized"] < 0.7


def test_without_strength_there_is_nothing_to_see() -> None:
    found = measure(generate_market(MarketConfig(instruments=40, windows=400, strength=(0.0, 0.01))))
    assert abs(np.mean([row["auroc_standardized"] for row in found["stretches"]]) - 0.5) < 0.15


def test_settings_come_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--set", "instruments=20", "--set", "windows=300", "--set", "changes=0.5"]
    assert main(small) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("oracle 0.")
    assert [line.split()[1] for line in out[1:]] == ["240"]
    assert main([*small, "--set", "leaders=many"]) == 1
    assert "`leaders` (='many') must be a whole number" in capsys.readouterr().err
