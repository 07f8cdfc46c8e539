"""`cs3g demo` as its own process: its files, its last line, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cs3g_model.evaluation.panel import MIN_NAMES
from tests.shared_data import SHARED
from topics.digest import PREFIX

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

N_TICKS = 20_000
"""Forty days: twenty of them after the models' warm-up."""
MARK = "CS3G_TEST_MARK"
DEADLINE_S = 180
LEAN = SHARED / "native" / "lean" / "equity" / "usa" / "tick"


class Demo:
    """A run of the command whose processes carry a mark in their environment."""

    def __init__(self, out: Path, *options: object) -> None:
        self.out = out
        self.mark = os.urandom(8).hex()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cs3g", "demo", "--out", str(out), *map(str, options)],
            cwd=out.parent,
            env={**os.environ, MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err

    def left_running(self) -> dict[int, str]:
        """Return the commands of processes that the run has left behind, by their number."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = command
            except OSError:
                continue  # ended meanwhile, or another user's
        return found

    def end(self) -> None:
        """Kill what still runs: a failed test is to disturb no other."""
        for pid in self.left_running():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with self.process:
            pass  # waits, and closes the pipes

    def read(self, name: str) -> Any:
        return json.loads((self.out / name).read_text(), parse_constant=pytest.fail)


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Start a run that writes to the named folder of `tmp_path`."""
    demos: list[Demo] = []

    def start(name: str, *options: object) -> Demo:
        demos.append(Demo(tmp_path / name, *options))
        return demos[-1]

    yield start
    for demo in demos:
        demo.end()


def await_running(demo: Demo) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while len(demo.left_running()) < 3:  # command, broker, worker
        assert demo.process.poll() is None, demo.finish()
        assert time.monotonic() < deadline, demo.left_running()
        time.sleep(0.05)


def check_results(demo: Demo, roles: set[str]) -> pl.DataFrame:
    status, out, err = demo.finish()
    assert (status, err) == (0, ""), out
    assert demo.left_running() == {}
    assert sorted(path.name for path in demo.out.iterdir()) == [
        "ab.html",
        "ab.json",
        "ab.md",
        "logs",
        "predictions.parquet",
        "run.json",
    ]
    frame = pl.read_parquet(demo.out / "predictions.parquet")
    assert dict(frame.schema) == {
        "ts_close": pl.Int64,
        "symbol": pl.String,
        "role": pl.String,
        "model_id": pl.String,
        "score": pl.Float32,
        "rank": pl.Int32,
        "warmup": pl.Boolean,
    }
    assert set(frame["role"]) == roles
    assert frame.null_count().sum_horizontal()[0] == 0
    assert np.isfinite(frame["score"].to_numpy()).all()
    best = frame.group_by("role", "ts_close").agg(
        pl.col("rank").min().alias("first"), pl.col("rank").max().alias("last"), pl.len().alias("n")
    )
    assert (best["first"] == 1).all()
    assert (best["last"] == best["n"]).all()
    ab, run = demo.read("ab.json"), demo.read("run.json")
    last = out.splitlines()[-1]
    assert re.fullmatch(r"digest sha256:[0-9a-f]{64}", last)
    assert last == f"digest {ab['manifest']['prediction_digest']}"
    assert ab["manifest"]["data_digest"].startswith(PREFIX)
    assert ab["models"].keys() == roles
    assert run["window_ticks"] + sum(run["refused"].values()) == run["replay"]["ticks"]
    assert (run["gaps"], run["conflicting_windows"]) == (0, 0)
    return frame


def test_two_demos_of_other_workers_and_messages_are_equal(
    start_demo: Callable[..., Demo], tmp_path: Path
) -> None:
    limit = ("--limit", N_TICKS)
    first = start_demo("first", *limit)
    frame = check_results(first, {"student", "teacher"})
    assert frame.height == 2 * N_TICKS
    assert frame["symbol"].n_unique() > 450
    assert (frame["ts_close"] % 86_400_000_000_000 == 0).all()
    ab = first.read("ab.json")
    # A window counts by the names whose next price is known; the limit cuts the last one short.
    names = frame.filter(~pl.col("warmup"), role="student").group_by("ts_close").len().sort("ts_close")["len"]
    assert ab["comparison"]["windows"] == (names[1:] >= MIN_NAMES).sum()
    assert ab["bytes_ratio"] > 1
    page = (first.out / "ab.html").read_text()
    assert "<svg" in page
    assert ab["verdict"].replace("'", "&#x27;") in page

    second = start_demo("second", *limit, "--workers", 2, "--batch-ticks", 97)
    assert check_results(second, {"student", "teacher"}).equals(frame)
    for name in ("ab.json", "ab.md", "ab.html"):
        assert (first.out / name).read_bytes() == (second.out / name).read_bytes()
    # Nothing was written where the command ran but the folders that it was told to write to.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_told_to_stop_leaves_nothing_running(
    start_demo: Callable[..., Demo], number: signal.Signals
) -> None:
    demo = start_demo("out", "--speed", 86_400, "--no-teacher")
    await_running(demo)
    demo.process.send_signal(number)
    status, out, err = demo.finish()
    assert status == 130, err
    assert "Traceback" not in out + err
    assert demo.left_running() == {}
    assert [path.name for path in demo.out.iterdir()] == ["logs"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a killed process' children")
def test_a_demo_that_is_killed_leaves_nothing_running(start_demo: Callable[..., Demo]) -> None:
    demo = start_demo("out", "--speed", 86_400, "--no-teacher")
    await_running(demo)
    demo.process.kill()
    demo.process.wait()
    deadline = time.monotonic() + DEADLINE_S
    while demo.left_running():
        assert time.monotonic() < deadline, demo.left_running()
        time.sleep(0.05)


@pytest.mark.shared
@pytest.mark.skipif(not LEAN.is_dir(), reason="../shared/data is not there")
def test_a_stocks_real_trades_and_quotes(start_demo: Callable[..., Demo]) -> None:
    demo = start_demo("out", "--data", LEAN / "aig", "--limit", 30_000)
    frame = check_results(demo, {"student", "teacher"})
    assert set(frame["symbol"]) == {"AIG"}
    assert demo.read("run.json")["replay"]["schema"] == "mbp-1"
    assert demo.read("ab.json")["comparison"] is None  # a single instrument has no cross-section
