"""`cs3g loop` as its own process: a stale student is noticed, retrained, compared and swapped.

That another run with more workers is the same, kills or not, is held by `test_loop_kills`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.e2e.loops import N_DAYS, N_SYMBOLS, POLICY

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

DEADLINE_S = 500


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    run(
        "generate", "--out", folder, "--instruments", N_SYMBOLS, "--windows", N_DAYS, "--window", "1d", "--seed", 3,
        cwd=folder,
    )  # fmt: skip
    return folder / "panel.parquet"


def run(*arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cs3g", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def looped(out: Path, panel: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    policy = out.parent / "policy.toml"
    policy.write_text(POLICY)
    printed = run(
        "loop", "--out", out, "--data", panel, "--policy", policy, "--stale-at", 0.5, cwd=out.parent
    )
    values = json.loads((out / "loop.json").read_text())
    assert printed.splitlines()[-1] == f"digest {values['prediction_digest']}"
    assert "<svg" in (out / "loop.html").read_text()
    return values, pl.read_parquet(out / "predictions.parquet")


def test_a_stale_student_is_replaced_without_a_gap(tmp_path: Path, panel: Path) -> None:
    first, frame = looped(tmp_path / "first", panel)
    assert (first["gaps"], first["conflicting_windows"]) == (0, 0)
    # Every window is predicted once by each role, whoever served.
    for role in ("student", "teacher"):
        ends = frame.filter(pl.col("role") == role).unique(["ts_close", "model_id"])["ts_close"]
        assert ends.n_unique() == len(ends) == first["windows"]
    (job,) = first["jobs"]
    assert job["ending"]["state"] == "succeeded", job["ending"]
    sound, stale, fresh = first["served"]["student"]
    assert fresh["model_id"] == job["ending"]["model_id"]
    assert fresh["model_id"] not in {sound["model_id"], stale["model_id"]}
    assert job["request"]["since_ts_close"] < fresh["first_ts_close"]
    assert stale["last_ts_close"] <= job["request"]["since_ts_close"]
    for before, after in pairwise(first["served"]["student"]):
        assert before["last_ts_close"] < after["first_ts_close"]
    assert stale["mean_agreement"] < 0.9 < fresh["mean_agreement"]
    (asked,) = [decision for decision in first["decisions"] if decision["action"] == "job"]
    assert asked["trigger"] == "disagreement"
    assert asked["job_id"] == job["request"]["job_id"]
