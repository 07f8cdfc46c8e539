"""Topics into an archive and back into a replay: the same records, however often the recorder was killed."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.archive_manifest import read_manifest
from pipeline.graph_archive import graph_run_digest, read_graph_archive
from pipeline.offline import join_graph_runs
from replay.archive.record import RecordConfig, record_topics
from replay.archive.recorded import RecordedSource
from replay.config import ReplayConfig
from replay.errors import ConfigError, SourceError
from replay.kafka_sink import KafkaSink
from replay.lateness import Lateness
from replay.runner import run_replay
from replay.sinks import MemorySink
from replay.sources.base import Selection
from replay.sources.open import open_sources
from tests.integration.command_line import Run, check_line
from tests.integration.killed_recorder import record_until_killed
from tests.unit.pipeline.test_graph_archive import growing_runs
from tests.unit.replay.factories import T0, memory_source, trades
from tests.unit.topics.factories import make_predictions
from topics.admin import create_topics
from topics.connection import producer_client
from topics.control import Instrument
from topics.digest import prediction_digest
from topics.envelope import Envelope, Message
from topics.messages import control_message, graph_message, prediction_message, tick_message
from topics.runs import TickRun
from topics.specs import SPECS, replay_prefix, topic_names
from topics.tick_builders import bars
from topics.ticks import decode_ticks, heartbeat, is_heartbeat
from topics.types import NANOS_PER_DAY
from topics.types import NANOS_PER_SECOND as S

pytestmark = pytest.mark.broker

PARTITIONS = 3
START = NANOS_PER_DAY - T0 % NANOS_PER_DAY - 20 * S
"""After `T0`: midnight falls into the recording."""


def late_source(n: int = 6_000):
    """Trades in the recorder's order, some of them seconds late."""
    rng = np.random.default_rng(5)
    arrival = START + np.sort(rng.integers(0, 60 * S, n))
    events = arrival - np.where(rng.random(n) < 0.03, rng.integers(0, 5 * S, n), 0)
    records = trades(events, ids=rng.integers(1, 6, n))
    records["ts_recv"] = T0 + arrival
    return replace(memory_source(records, symbols=tuple("ABCDE"), rows=512), clock="ts_recv")


async def publish(bootstrap: str, run_id: str) -> MemorySink:
    """Replay the source into the broker, and return the same messages."""
    config = ReplayConfig(run_id=run_id, partitions=PARTITIONS, batch_ticks=50, clock="ts_recv")
    sink = KafkaSink(bootstrap, prefix=replay_prefix(run_id), partitions=PARTITIONS, create_missing=True)
    async with sink:
        await run_replay(config, [late_source()], sink)
    memory = MemorySink()
    await run_replay(config, [late_source()], memory)
    return memory


async def produce(bootstrap: str, topic: str, messages: Iterable[Message]) -> None:
    async with producer_client(bootstrap) as producer:
        for message in messages:
            await producer.send_and_wait(
                topic,
                message.value,
                key=message.key,
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
                headers=message.headers,
            )


def records_by_partition(sink: MemorySink) -> dict[int, list[bytes]]:
    """Return every single record, heartbeats included, with its schema, in order."""
    found = defaultdict(list)
    for partition, messages in sink.messages.items():
        for message in messages[:-1]:
            run = decode_ticks(message.value, Envelope.from_headers(message.headers))
            found[partition] += [run.schema.encode() + record.tobytes() for record in run.records]
    return dict(found)


async def replayed(archive: Path, *, symbols: frozenset[str] | None = None, **options) -> MemorySink:
    sink = MemorySink()
    config = ReplayConfig(run_id="again", partitions=PARTITIONS, symbols=symbols, **options)
    await run_replay(config, open_sources([archive], config.selection), sink)
    return sink


@pytest.mark.parametrize("batch_ticks", [7, 1000])
async def test_a_replay_of_an_archive_sends_what_was_recorded(
    bootstrap_servers: str, tmp_path: Path, batch_ticks: int
) -> None:
    run_id = f"archive-{batch_ticks}"
    sent = await publish(bootstrap_servers, run_id)
    archive = tmp_path / "a"
    recorded = await record_topics(
        bootstrap_servers, archive, RecordConfig(prefix=replay_prefix(run_id), commit_bytes=40_000)
    )
    assert (recorded.left, recorded.unreadable) == (0, 0)
    again = await replayed(archive, batch_ticks=batch_ticks)
    assert records_by_partition(again) == records_by_partition(sent)
    assert again.instruments == sent.instruments
    dates = {Path(part.path).parts[2] for part in read_manifest(archive).of_topic("ticks")}
    assert len(dates) == 2
    table = pl.read_parquet(archive / "ticks" / "schema=trades" / "**" / "*.parquet")
    assert table["instrument_id"].max() == 5
    assert table.filter(pl.col("action") == b"T").height == 6_000


async def test_a_selection_of_an_archive(bootstrap_servers: str, tmp_path: Path) -> None:
    sent = await publish(bootstrap_servers, "selected")
    archive = tmp_path / "a"
    await record_topics(bootstrap_servers, archive, RecordConfig(prefix=replay_prefix("selected")))
    some = await replayed(archive, symbols=frozenset({"B", "E"}), start_ns=T0 + START + 10 * S, limit=500)
    assert [one.symbol for one in some.instruments] == ["B", "E"]
    ticks = [
        run.records[~is_heartbeat(run.records)]
        for messages in some.messages.values()
        for run in (decode_ticks(m.value, Envelope.from_headers(m.headers)) for m in messages[:-1])
    ]
    found = np.concatenate(ticks)
    assert len(found) == 500
    assert set(found["instrument_id"]) == {2, 5}
    assert found["ts_event"].min() >= T0 + START + 10 * S
    with pytest.raises(ConfigError, match="--partitions 3"):
        await run_replay(
            ReplayConfig(run_id="x", partitions=2), open_sources([archive], Selection()), MemorySink()
        )
    with pytest.raises(ConfigError, match="leave --late out"):
        await replayed(archive, late=Lateness(0.1, S))
    with pytest.raises(ConfigError, match="replayed as it was recorded and alone"):
        await run_replay(
            ReplayConfig(run_id="x", partitions=3),
            [*open_sources([archive], Selection()), late_source(10)],
            MemorySink(),
        )
    assert len(sent.messages) == PARTITIONS


async def test_several_schemas_and_large_ids_keep_their_order(bootstrap_servers: str, tmp_path: Path) -> None:
    prefix = replay_prefix("mixed")
    specs = (SPECS["instruments"], SPECS["ticks"])
    await create_topics(bootstrap_servers, specs, prefix=prefix, partitions=PARTITIONS)
    names = topic_names(prefix)
    big = 4_000_000_002  # partition 0
    rng = np.random.default_rng(1)
    messages = []
    for number in range(40):
        at = START + number * S
        if number % 3 == 0:
            run = bars(
                schema="ohlcv-1s",
                instrument_id=[big],
                ts_event=[T0 + at],
                open=[5],
                high=[6],
                low=[4],
                close=[5],
                volume=[1],
            )
        elif number % 3 == 1:
            records = trades(at + rng.integers(0, S, 5), ids=[big] * 5)
            run = TickRun("trades", records)
        else:
            run = heartbeat("trades", T0 + at)
        messages.append(tick_message(run, run_id="mixed", mode="live", seq=-1, partition=0))
    await produce(
        bootstrap_servers,
        names.instruments,
        [
            control_message(
                Instrument(instrument_id=big, symbol="BIG", universe="u", size_unit="0.01"),
                run_id="mixed",
                mode="live",
                key=b"1",
            )
        ],
    )
    await produce(bootstrap_servers, names.ticks, messages)
    bad = Message(b"0", b"nonsense", [("content-type", b"strange")], partition=1)
    await produce(bootstrap_servers, names.ticks, [bad])
    archive = tmp_path / "a"
    recorded = await record_topics(bootstrap_servers, archive, RecordConfig(prefix=prefix, commit_bytes=700))
    assert recorded.unreadable == 1
    again = await replayed(archive, batch_ticks=3)
    expected = [
        message_schema(message) + record.tobytes()
        for message in messages
        for record in decode_ticks(message.value, Envelope.from_headers(message.headers)).records
    ]
    assert records_by_partition(again)[0] == expected
    assert [(one.instrument_id, one.size_unit) for one in again.instruments] == [(big, "0.01")]


def message_schema(message: Message) -> bytes:
    return Envelope.from_headers(message.headers).schema.encode()


async def test_kills_neither_lose_nor_repeat_anything(bootstrap_servers: str, tmp_path: Path) -> None:
    sent = await publish(bootstrap_servers, "killed")
    archive = tmp_path / "a"
    prefix = replay_prefix("killed")
    context = multiprocessing.get_context("spawn")
    for steps in (1, 2, 3):
        process = context.Process(
            target=record_until_killed, args=(bootstrap_servers, archive, prefix, steps)
        )
        process.start()
        await asyncio.to_thread(process.join)
        assert process.exitcode in (-signal.SIGKILL, 0)
    await record_topics(bootstrap_servers, archive, RecordConfig(prefix=prefix))
    offsets = defaultdict(list)
    for part in read_manifest(archive).of_topic("ticks"):
        if part.schema == "trades":
            offsets[part.partition] += pl.read_parquet(archive / part.path)["offset"].unique().to_list()
    assert {p: sorted(found) for p, found in offsets.items()} == {
        p: list(range(len(messages) - 1)) for p, messages in sent.messages.items()
    }
    assert records_by_partition(await replayed(archive)) == records_by_partition(sent)
    nothing = await record_topics(bootstrap_servers, archive, RecordConfig(prefix=prefix))
    assert nothing.messages == 0


async def test_snapshots_and_predictions_are_kept_once(bootstrap_servers: str, tmp_path: Path) -> None:
    prefix = replay_prefix("graphs")
    names = topic_names(prefix)
    specs = tuple(SPECS[name] for name in ("graphs", "predictions"))
    await create_topics(bootstrap_servers, specs, prefix=prefix, partitions=PARTITIONS)
    runs = growing_runs(4)
    message = partial(graph_message, run_id="g", mode="replay")
    await produce(bootstrap_servers, names.graphs, map(message, runs[:6]))
    archive = tmp_path / "a"
    await record_topics(bootstrap_servers, archive, RecordConfig(prefix=prefix))
    # A worker that restarts publishes its last windows again.
    await produce(bootstrap_servers, names.graphs, map(message, [*runs[4:6], *runs[5:]]))
    predictions = make_predictions(5)
    await produce(
        bootstrap_servers, names.predictions, [prediction_message(predictions, run_id="g", mode="replay")]
    )
    await record_topics(bootstrap_servers, archive, RecordConfig(prefix=prefix))
    assert graph_run_digest(read_graph_archive(archive)) == graph_run_digest(join_graph_runs(runs))
    rows = pl.read_parquet(archive / "predictions" / "**" / "*.parquet")
    assert rows["score"].to_list() == predictions.scores[predictions.mask].tolist()
    assert prediction_digest([predictions])  # what the rows were made of


async def test_a_topic_made_anew_is_refused(bootstrap_servers: str, tmp_path: Path) -> None:
    await publish(bootstrap_servers, "anew")
    archive = tmp_path / "a"
    await record_topics(bootstrap_servers, archive, RecordConfig(prefix=replay_prefix("anew")))
    manifest = json.loads((archive / "archive.json").read_text())
    manifest["next_offsets"]["ticks"]["1"] += 10
    (archive / "archive.json").write_text(json.dumps(manifest))
    with pytest.raises(SourceError, match="made anew"):
        await record_topics(bootstrap_servers, archive, RecordConfig(prefix=replay_prefix("anew")))


def test_the_commands(cs3g: Run, bootstrap_servers: str, tmp_path: Path) -> None:
    sent = asyncio.run(publish(bootstrap_servers, "commands"))
    archive = tmp_path / "a"
    where = ("--bootstrap-servers", bootstrap_servers)
    status, out, err = cs3g(
        "archive", *where, "--topic-prefix", "replay.commands.", "--out", archive, "--json"
    )
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["left"], found["unreadable"]) == (0, 0)
    assert found["messages"] == sum(map(len, sent.messages.values())) + 5
    status, out, err = cs3g("replay", archive, "--dry-run", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["ticks"] == 6_000

    asyncio.run(publish(bootstrap_servers, "other"))
    other = ("--topic-prefix", "replay.other.")
    check_line(
        cs3g("archive", *where, *other, "--out", archive), "prefix 'replay.commands.'", "another folder"
    )
    check_line(
        cs3g("archive", *where, "--topics", "tics", "--out", tmp_path / "b"),
        "tics",
        "give some of instruments",
    )
    part = archive / read_manifest(archive).of_topic("ticks")[0].path
    part.write_bytes(part.read_bytes()[:-9])
    check_line(cs3g("replay", archive, "--dry-run"), part.name, "half-written or damaged")
    part.unlink()
    check_line(cs3g("replay", archive, "--dry-run"), part.name, "is missing")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("hello")
    check_line(
        cs3g("archive", *where, *other, "--out", tmp_path / "foreign"), "notes.txt", "it is no archive"
    )


def test_an_archive_is_a_source(tmp_path: Path, bootstrap_servers: str) -> None:
    asyncio.run(publish(bootstrap_servers, "source"))
    asyncio.run(
        record_topics(bootstrap_servers, tmp_path / "a", RecordConfig(prefix=replay_prefix("source")))
    )
    (source,) = open_sources([tmp_path / "a"], Selection())
    assert isinstance(source, RecordedSource)
    assert source.symbols == tuple("ABCDE")
    assert sum(len(chunk) for chunk in source.chunks()) == source.tally.rows == 6_000
