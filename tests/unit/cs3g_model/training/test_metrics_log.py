"""A fit's progress as JSON lines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cs3g_model.training.metrics_log import MetricsLog
from cs3g_model.training.options import RunOptions
from tests.unit.cs3g_model.training.fits import SETTINGS, Killed, small_fit


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in line.items() if name != "elapsed_s"} for line in lines]


def test_a_fit_writes_a_line_per_validation_and_every_so_many_updates(tmp_path: Path) -> None:
    result = small_fit(RunOptions(metrics=tmp_path / "deep" / "fit.jsonl", metrics_every=2))
    lines = lines_of(tmp_path / "deep" / "fit.jsonl")
    # Validations after updates 3 and 5 of each epoch of 5.
    assert [(line["update"], line["event"]) for line in lines] == [
        (2, "update"),
        (3, "validation"),
        (4, "update"),
        (5, "validation"),
        (6, "update"),
        (8, "validation"),
        (10, "validation"),
    ]
    checks = [line for line in lines if line["event"] == "validation"]
    assert [line["valid_rank_ic"] for line in checks] == result.valid_rank_ics
    assert [line["loss"] for line in checks] == result.losses
    assert lines[0]["valid_rank_ic"] is None
    assert [line["epoch"] for line in lines] == [0, 0, 0, 0, 1, 1, 1]
    # A tenth of the updates warm up: the rate is highest where they end, and far lower at the fit's end.
    rates = [line["learning_rate"] for line in lines]
    assert max(rates) <= SETTINGS.learning_rate
    assert rates[-1] < 0.1 * SETTINGS.learning_rate < rates[0]
    elapsed = [line["elapsed_s"] for line in lines]
    assert elapsed == sorted(elapsed)
    assert elapsed[0] > 0


def test_a_resumed_fit_writes_the_lines_of_an_undisturbed_one(tmp_path: Path) -> None:
    alone = RunOptions(metrics=tmp_path / "alone.jsonl", metrics_every=1)
    small_fit(alone)
    resumed = replace(
        alone,
        metrics=tmp_path / "resumed.jsonl",
        checkpoint=tmp_path / "checkpoint",
        resume=True,
        checkpoint_every_s=1e9,
    )
    with pytest.raises(Killed):
        small_fit(resumed, killed_at=7)  # the last checkpoint is of update 5
    assert len(lines_of(tmp_path / "resumed.jsonl")) == 7
    small_fit(resumed)
    assert timeless(lines_of(tmp_path / "resumed.jsonl")) == timeless(lines_of(tmp_path / "alone.jsonl"))
    elapsed = [line["elapsed_s"] for line in lines_of(tmp_path / "resumed.jsonl")]
    assert elapsed == sorted(elapsed)


def test_a_torn_line_is_dropped_on_resumption(tmp_path: Path) -> None:
    path = tmp_path / "fit.jsonl"
    path.write_text('{"event": "update", "update": 1}\n{"event": "update", "upd')
    MetricsLog(path, resumed_at=2).write("update", update=3, loss=float("inf"))
    assert lines_of(path) == [
        {"event": "update", "update": 1},
        {"event": "update", "update": 3, "loss": None},
    ]


def test_a_fresh_fit_begins_a_fresh_file(tmp_path: Path) -> None:
    path = tmp_path / "fit.jsonl"
    path.write_text('{"event": "update", "update": 1}\n')
    MetricsLog(path)
    assert path.read_text() == ""
