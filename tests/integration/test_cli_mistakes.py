"""Mistakes on the command line: one line on stderr that says what to mend, a status, and nothing half written."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from cs3g_model.artifacts import SHIPPED, list_artifacts
from tests.integration.command_line import Run, check_line
from tests.integration.test_replay_command import damaged_files
from tests.unit.replay.factories import dbn_bytes, trades


@pytest.fixture
def closed_address() -> Iterator[str]:
    with socket.socket() as bound:  # bound and not listening: nobody else gets it, nobody answers
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("mistake", ["missing", "nan", "negative", "column", "zip", "zstd"])
def test_scoring_a_bad_file_writes_nothing(cs3g: Run, tmp_path: Path, mistake: str) -> None:
    (file, *_), words = damaged_files(tmp_path)[mistake]
    out = tmp_path / "new" / "scores.parquet"
    check_line(cs3g("score", "--model", "student", "--data", file, "--window", "1s", "--out", out), words)
    assert not out.parent.exists()


def test_a_demo_of_a_missing_file_starts_nothing(cs3g: Run, tmp_path: Path) -> None:
    run = cs3g("demo", "--data", tmp_path / "nowhere.dbn", "--out", tmp_path / "out")
    check_line(run, f"{tmp_path / 'nowhere.dbn'}: no such file")
    assert run[1] == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.broker
def test_a_demo_of_a_bad_row_leaves_only_logs(cs3g: Run, tmp_path: Path) -> None:
    (file, *_), words = damaged_files(tmp_path)["nan"]
    check_line(cs3g("demo", "--data", file, "--out", tmp_path / "out", "--no-teacher"), words)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["logs"]


def test_a_file_of_an_unknown_version_is_named(cs3g: Run, tmp_path: Path) -> None:
    data = bytearray(dbn_bytes("trades", trades(range(3))))
    assert data[:4] == b"DBN\x03"
    data[3] = 43
    path = tmp_path / "future.dbn"
    path.write_bytes(data)
    check_line(cs3g("replay", path, "--dry-run"), "future.dbn", "version")


@pytest.mark.parametrize(
    "arguments",
    [
        ("worker",),
        ("topics", "list"),
        ("topics", "create"),
        ("predictions", "tail"),
        ("predictions", "digest"),
    ],
    ids=" ".join,
)
def test_a_broker_that_is_not_there_is_named(
    cs3g: Run, closed_address: str, arguments: tuple[str, ...]
) -> None:
    check_line(cs3g(*arguments, "--bootstrap-servers", closed_address), closed_address, "no Kafka broker")


def test_an_export_without_a_broker_writes_no_file(cs3g: Run, closed_address: str, tmp_path: Path) -> None:
    out = tmp_path / "predictions.parquet"
    check_line(cs3g("predictions", "export", out, "--bootstrap-servers", closed_address), closed_address)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_without_its_broker_writes_nothing(cs3g: Run, closed_address: str, tmp_path: Path) -> None:
    run = cs3g("demo", "--bootstrap-servers", closed_address, "--out", tmp_path / "out")
    check_line(run, closed_address)
    assert not (tmp_path / "out").exists()


def test_a_port_in_use_is_named(cs3g: Run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        check_line(cs3g("broker", "start", "--port", port, "--data-dir", tmp_path / "data"), str(port))


@pytest.mark.broker
def test_a_worker_needs_its_topics(cs3g: Run, bootstrap_servers: str, run_id: str) -> None:
    run = cs3g(
        "worker", "--mode", "replay", "--topic-prefix", f"replay.{run_id}.", "--bootstrap-servers", bootstrap_servers
    )  # fmt: skip
    check_line(run, f"replay.{run_id}.md.ticks.v1", "cs3g topics create")


@pytest.mark.broker
def test_reading_predictions_needs_their_topic(cs3g: Run, bootstrap_servers: str, run_id: str) -> None:
    prefix = f"replay.{run_id}."
    run = cs3g("predictions", "digest", "--topic-prefix", prefix, "--bootstrap-servers", bootstrap_servers)
    check_line(run, f"{prefix}predictions.v1")


def test_an_unknown_model_is_named(cs3g: Run, tmp_path: Path) -> None:
    check_line(cs3g("worker", "--model", "0123456789abcdef"), "0123456789abcdef")
    out = tmp_path / "scores.parquet"
    run = cs3g("score", "--model", "0123456789abcdef", "--data", "sp500-2009", "--out", out)
    check_line(run, "0123456789abcdef")
    assert not out.exists()


def test_a_model_of_the_other_role_is_refused(cs3g: Run) -> None:
    (teacher,) = [found.model_id for _, found in list_artifacts() if found.role == "teacher"]
    check_line(cs3g("worker", "--model", teacher), teacher, "is a teacher")


@pytest.mark.parametrize("damage", ["weights", "manifest", "version", "truncated"])
def test_a_tampered_model_is_refused(cs3g: Run, tmp_path: Path, damage: str) -> None:
    (source,) = [path for path, found in list_artifacts(SHIPPED) if found.role == "student"]
    folder = tmp_path / source.name
    shutil.copytree(source, folder)
    weights, manifest = folder / "model.safetensors", folder / "manifest.json"
    if damage == "weights":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-8])
    else:
        values = json.loads(manifest.read_text())
        if damage == "version":
            values["artifact_version"] = 99
        else:
            values["config"]["warmup"] += 1
        manifest.write_text(json.dumps(values))
    out = tmp_path / "scores.parquet"
    run = cs3g("score", "--model", folder, "--data", "sp500-2009", "--out", out)
    check_line(run, str(folder))
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (("worker", "--window", "0s"), ("window_size_ns", "0", "> 0"), 1),
        (("worker", "--window", "soon"), ("window_size_ns", "'soon'"), 1),
        (("worker", "--partitions", "-2"), ("tick_partitions", "-2"), 1),
        (("worker", "--universe", "a/b"), ("universe", "'a/b'"), 1),
        (("worker", "--mode", "replay"), ("topic_prefix", "replay."), 1),
        (("worker", "--log-level", "loud"), ("--log-level", "'loud'"), 2),
        (("worker", "--role", "spectator"), ("--role", "'spectator'"), 2),
        (("demo", "--partitions", "-1"), ("--partitions",), 2),
        (("demo", "--workers", "0"), ("--workers",), 2),
        (("demo", "--limit", "many"), ("--limit", "integer"), 2),
        (("demo", "--symbols", "NOSUCH"), ("NOSUCH", "sp500-2009"), 1),
        (("replay", "sp500-2009", "--dry-run", "--partitions", "-4"), ("-4",), 1),
        (("replay", "sp500-2009", "--dry-run", "--speed", "-1"), ("speed", "-1"), 1),
        (("replay",), ("PATH",), 2),
        (("score", "--model", "student", "--data", "sp500-2009", "--out", "x", "--window", "0s"), ("0s",), 1),
        (("topics", "create", "--prefix", "no dot"), ("prefix", "no dot"), 1),
        (("predictions", "tail", "--bootstrap-servers", "nowhere"), ("nowhere", "host:port"), 1),
        (("models", "list", "--folder", "/nowhere"), ("/nowhere",), 1),
        (("nonsense",), ("nonsense",), 2),
        (("demo", "--nonsense"), ("--nonsense",), 2),
    ],
)
def test_a_bad_option_is_named(
    cs3g: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    check_line(cs3g(*arguments), *words, status=status)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.broker
def test_a_demo_of_a_window_without_length_writes_nothing(cs3g: Run, tmp_path: Path) -> None:
    check_line(cs3g("demo", "--window", "0s", "--out", tmp_path / "out"), "window_size_ns", "> 0")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_named(cs3g: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    data = tmp_path / "panel.parquet"
    pl.DataFrame(
        {"ts_event": [10**18, 10**18 + 1], "symbol": ["A", "B"], "price": [1.0, 2.0], "size": [1, 1]}
    ).write_parquet(data)
    out = file / "scores.parquet"
    check_line(cs3g("score", "--model", "student", "--data", data, "--window", "1s", "--out", out), str(file))
    assert file.read_text() == "mine"


def test_without_a_command_there_is_help(cs3g: Run) -> None:
    status, out, err = cs3g()
    assert status == 2
    assert "Usage" in out + err
