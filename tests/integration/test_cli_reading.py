"""Commands that only look: doctor, models, and predictions on a topic of a broker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from cs3g.cli import app
from tests.integration.broker_topics import make_topics, send
from tests.unit.topics.factories import make_predictions
from topics.cuts import slice_predictions
from topics.digest import prediction_digest
from topics.messages import prediction_message
from topics.runs import PredictionRun
from topics.specs import replay_prefix


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.stderr == ""
    return result


def test_the_doctor_finds_this_machine_fit() -> None:
    result = invoke("doctor", "--json")
    findings = {found["check"]: found for found in json.loads(result.stdout)}
    assert result.exit_code == 0
    assert {name for name, found in findings.items() if found["status"] == "fail"} == set()
    assert findings["python"]["status"] == findings["kernels"]["status"] == "ok"
    assert "student" in findings["models"]["detail"]
    assert "broker" not in findings


@pytest.mark.broker
def test_the_doctor_sees_a_broker_and_that_one_is_not_there(bootstrap_servers: str) -> None:
    assert f"{bootstrap_servers} answers" in invoke("doctor", "--bootstrap-servers", bootstrap_servers).stdout
    result = invoke("doctor", "--bootstrap-servers", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "no Kafka broker answers at '127.0.0.1:1'" in result.stdout


def test_the_shipped_models_are_listed() -> None:
    models = json.loads(invoke("models", "list", "--json").stdout)
    assert {model["role"] for model in models} == {"student", "teacher"}
    assert sum(model["bytes"] for model in models) < 3_000_000
    table = invoke("models", "list").stdout
    assert all(model["id"] in table for model in models)


@pytest.fixture
def runs() -> list[PredictionRun]:
    student = make_predictions(6, 4, role="student")
    # The fourth and fifth window come twice, as after a worker's restart.
    again = [slice_predictions(student, 0, 5), slice_predictions(student, 3, 6)]
    return [*again, make_predictions(6, 4, role="teacher", model_id="fedcba9876543210", seed=1)]


@pytest.fixture
def prefix(bootstrap_servers: str, run_id: str, runs: list[PredictionRun]) -> str:
    async def fill() -> None:
        names = await make_topics(bootstrap_servers, run_id)
        messages = [prediction_message(run, run_id=run_id, mode="replay") for run in runs]
        await send(bootstrap_servers, names.predictions, messages)

    asyncio.run(fill())
    return replay_prefix(run_id)


@pytest.mark.broker
def test_predictions_are_tailed_exported_and_digested_each_once(
    bootstrap_servers: str, prefix: str, runs: list[PredictionRun], tmp_path: Path
) -> None:
    place = ("--bootstrap-servers", bootstrap_servers, "--topic-prefix", prefix, "--universe", "test")
    assert invoke("predictions", "digest", *place).stdout == f"digest {prediction_digest(runs)}\n"
    only = invoke("predictions", "digest", *place, "--role", "teacher").stdout
    assert only == f"digest {prediction_digest(runs[-1:])}\n"

    out = tmp_path / "predictions.parquet"
    student, teacher = make_predictions(6, 4, role="student"), runs[-1]
    n_rows = int(student.mask.sum() + teacher.mask.sum())
    assert invoke("predictions", "export", out, *place).stdout.startswith(f"{n_rows} predictions written")
    frame = pl.read_parquet(out)
    assert frame.height == n_rows
    assert frame.select("role", "ts_close", "rank").is_duplicated().sum() == 0

    arguments = ("predictions", "tail", *place, "--from-beginning", "--limit", 6)
    rows = [json.loads(line) for line in invoke(*arguments, "--json").stdout.splitlines()]
    expected = frame.filter(pl.col("role") == "student").sort("ts_close", "symbol")
    assert pl.DataFrame(rows, schema=frame.schema).sort("ts_close", "symbol").equals(expected)
    assert len(invoke(*arguments).stdout.splitlines()) == len(rows)
