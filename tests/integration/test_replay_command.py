"""`cs3g replay` as its own process: what it prints, and one clear line for every mistake."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from replay.errors import ReplayError
from tests.unit.replay.factories import T0, dbn_bytes, trades, write_lean
from topics.admin import list_topics
from topics.connection import admin_client, reader_client
from topics.errors import TopicError
from topics.groups import partitions_of
from topics.specs import replay_prefix, topic_names
from topics.types import NANOS_PER_SECOND as S

COMMAND = [sys.executable, "-m", "cs3g", "replay"]


def cs3g(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def ticks(tmp_path: Path) -> Path:
    n = 500
    path = tmp_path / "ticks.parquet"
    pl.DataFrame(
        {
            "ts_event": T0 + np.arange(n) * S // 5,
            "symbol": ["A", "B"] * (n // 2),
            "price": np.linspace(1, 2, n),
            "size": [1] * n,
        }
    ).write_parquet(path)
    return path


def test_a_dry_run_reports_as_json(ticks: Path) -> None:
    done = cs3g(
        ticks, "--dry-run", "--json", "--symbols", "A", "--from", "2013-10-07T13:30:10", "--run-id", "x"
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["ticks"] == 225
    assert report["ticks_by_symbol"] == {"A": 225}
    assert (report["rows"], report["not_selected"], report["run_id"]) == (250, 25, "x")
    assert report["digest"].startswith("sha256:")


def test_a_dry_run_reports_in_words(ticks: Path) -> None:
    done = cs3g(ticks, "--dry-run", "--limit", 10)
    assert done.returncode == 0
    assert "10 ticks of 2 symbols" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("  digest sha256:")


def test_late_ticks_are_the_same_in_every_run(ticks: Path) -> None:
    def told(*options: object) -> dict[str, Any]:
        done = cs3g(ticks, "--dry-run", "--json", *options)
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    plain, late = told(), told("--late", "20%:3s")
    assert (plain["held_back"], late["ticks"]) == (0, 500)
    assert 60 < late["held_back"] < 140
    assert late["digest"] == told("--late", "0.2:3000ms", "--batch-ticks", 9)["digest"] != plain["digest"]
    assert told("--late", "20%:3s", "--late-seed", 1)["digest"] != late["digest"]


def test_steps_are_led_from_the_keyboard(ticks: Path) -> None:
    command = [*COMMAND, str(ticks), "--dry-run", "--json", "--step", "10s"]
    one = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=60, check=False)
    assert (one.returncode, json.loads(one.stdout)["ticks"]) == (130, 100)  # of 5 ticks a second
    assert one.stderr.splitlines() == [
        "up to 2013-10-07 13:30:10 UTC: Enter for the next 10s, Ctrl-D to stop",
        "up to 2013-10-07 13:30:20 UTC: Enter for the next 10s, Ctrl-D to stop",
    ]
    all_steps = subprocess.run(
        command, input="\n" * 9, capture_output=True, text=True, timeout=60, check=False
    )
    assert (all_steps.returncode, json.loads(all_steps.stdout)["is_complete"]) == (0, True)


@pytest.mark.broker
def test_paced_and_unpaced_replays_into_kafka_have_one_digest(
    ticks: Path, bootstrap_servers: str, run_id: str
) -> None:
    reports = []
    for number, options in enumerate([("--batch-ticks", 7), ("--speed", 500, "--partitions", 2)]):
        done = cs3g(
            ticks,
            "--bootstrap-servers",
            bootstrap_servers,
            "--run-id",
            f"{run_id}-{number}",
            "--json",
            *options,
        )
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
    first, second = reports
    assert first["digest"] == second["digest"]
    assert first["ticks"] == second["ticks"] == 500
    assert second["speed"] == pytest.approx(500, rel=0.3)
    again = cs3g(ticks, "--bootstrap-servers", bootstrap_servers, "--run-id", f"{run_id}-0")
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "take a new --run-id" in again.stderr


@pytest.mark.broker
def test_an_interrupt_ends_in_order_and_the_rest_can_follow(
    ticks: Path, bootstrap_servers: str, run_id: str
) -> None:
    common = ["--bootstrap-servers", bootstrap_servers, "--run-id", run_id, "--json"]
    command = [*COMMAND, str(ticks), *common, "--speed", "1", "--no-check"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _await_messages(bootstrap_servers, run_id)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    first = json.loads(out)
    assert not first["is_complete"]
    assert 0 < first["ticks"] < 500
    rest = cs3g(ticks, *common, "--resume")
    assert rest.returncode == 0, rest.stderr
    second = json.loads(rest.stdout)
    assert second["already_sent"] >= first["ticks"]
    assert second["ticks"] == 500
    assert second["digest"] == json.loads(cs3g(ticks, "--dry-run", "--json").stdout)["digest"]


def _await_messages(bootstrap: str, run_id: str) -> None:
    """Wait until the replay has sent its first ticks."""
    topic = topic_names(replay_prefix(run_id)).ticks

    async def poll() -> None:
        async with asyncio.timeout(30), admin_client(bootstrap) as admin, reader_client(bootstrap) as reader:
            while topic not in {state.name for state in await list_topics(bootstrap)}:
                await asyncio.sleep(0.05)
            keys = await partitions_of(admin, [topic])
            while not any((await reader.end_offsets(keys)).values()):
                await asyncio.sleep(0.05)

    asyncio.run(poll())


def damaged_files(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Return the arguments of each mistake, and what its one line must say."""
    nan = folder / "nan.parquet"
    pl.DataFrame(
        {"ts_event": [T0, T0 + 1], "symbol": ["A", "A"], "price": [1.0, float("nan")], "size": [1, 1]}
    ).write_parquet(nan)
    negative = folder / "negative.csv"
    negative.write_text(f"ts_event,symbol,price,size\n{T0},A,1.5,1\n{T0},A,-1.5,1\n")
    column = folder / "column.csv"
    column.write_text(f"ts_event,symbol,prize,size\n{T0},A,1.5,1\n")
    zipped = write_lean(folder, "aig", "20131007", "trade", ["14400000,100,1,P,1,0"] * 100)
    zipped.write_bytes(zipped.read_bytes()[:-30])
    frame = folder / "frame.dbn.zst"
    frame.write_bytes(pa.Codec("zstd").compress(dbn_bytes("trades", trades(range(5000))), asbytes=True)[:-9])
    return {
        "missing": ([folder / "nowhere.dbn"], "nowhere.dbn: no such file or folder"),
        "nan": ([nan], "nan.parquet: row 2: `price` (=nan) must be a price"),
        "negative": ([negative], "negative.csv: row 2: `price` (=-1.5) must not be negative"),
        "column": ([column], "column.csv: columns ts_event, symbol, prize, size make no ticks"),
        "zip": ([zipped], "20131007_trade.zip: no zip file, or truncated"),
        "zstd": ([frame], "frame.dbn.zst: after record 0: Truncated compressed stream"),
    }


@pytest.mark.broker
@pytest.mark.parametrize("mistake", ["missing", "nan", "negative", "column", "zip", "zstd"])
def test_bad_input_is_one_line_and_leaves_not_even_a_topic(
    tmp_path: Path, mistake: str, bootstrap_servers: str, run_id: str
) -> None:
    arguments, line = damaged_files(tmp_path)[mistake]
    options = ["--bootstrap-servers", bootstrap_servers, "--run-id", run_id]
    done = cs3g(*arguments, *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert line in done.stderr
    assert asyncio.run(list_topics(bootstrap_servers, prefix=replay_prefix(run_id))) == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--symbols", "A,ZZZ"], "no source holds the symbol(s) ZZZ"),
        (["--from", "2014-01-01"], "nothing to replay: 500 rows read"),
        (["--from", "soon"], "a time (='soon') must be like 2013-10-07"),
        (["--session", "always"], "the session (='always') must be RTH"),
        (["--heartbeat", "often"], "--heartbeat: a duration"),
        (["--late", "many"], "late ticks (='many') must be a share and the longest delay, like 1%:5s"),
        (["--step", "soon"], "--step: a duration"),
        (["--step", "1s", "--speed", "2"], "--step waits for a key, --speed (=2) for a time"),
        (["--max-gap", "3"], "a cap on gaps needs a pace"),
        (["--run-id", "a b"], "`run_id` (='a b')"),
        (["--resume"], "--resume needs the --run-id"),
        (["--sectors", "nowhere.csv"], "nowhere.csv: no such file of relations"),
    ],
)
def test_wrong_options_say_what_is_wrong(ticks: Path, options: list[str], line: str) -> None:
    from cs3g.cli import app

    done = CliRunner().invoke(app, ["replay", str(ticks), "--dry-run", *options])
    assert isinstance(done.exception, (ReplayError, TopicError))  # what `main` prints as one line
    assert line in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_broker_that_is_not_there_is_one_line(ticks: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = cs3g(ticks, "--bootstrap-servers", address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert address in done.stderr


def test_live_topics_are_refused_unless_meant_twice(ticks: Path) -> None:
    live = ["--topic-prefix", "", "--bootstrap-servers", "127.0.0.1:1", "--i-know-this-is-live"]
    done = cs3g(ticks, *live)
    assert done.returncode == 1
    assert "may not write to the live topic 'md.ticks.v1'" in done.stderr
    assert done.stderr.count("\n") == 1
    # Meant twice, it gets as far as the broker.
    assert "no Kafka broker answers" in cs3g(ticks, *live, "--confirm-live-topic", "md.ticks.v1").stderr
