"""Topics on a real broker."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from cs3g.commands import topics as topics_command
from tests.integration.broker_topics import make_topics, send
from topics.admin import create_topics, list_topics, topic_settings
from topics.connection import admin_client
from topics.embedded_process import free_port
from topics.envelope import MAX_DEAD_LETTER_BYTES, Message
from topics.errors import BrokerUnavailable, SchemaError, TopicMismatch
from topics.groups import group_lag
from topics.specs import SPECS, replay_prefix

pytestmark = pytest.mark.broker


async def test_topics_are_made_once_with_their_partitions(bootstrap_servers: str, run_id: str) -> None:
    prefix = replay_prefix(run_id)
    first = await create_topics(bootstrap_servers, prefix=prefix, partitions=3, embedded=True)
    second = await create_topics(bootstrap_servers, prefix=prefix, partitions=3, embedded=True)
    assert {state.created for state in first} == {True}
    assert {state.created for state in second} == {False}
    assert [state.name for state in first] == [prefix + spec.name for spec in SPECS.values()]
    counts = {"ticks": 3, "jobs": 8, "single": 1}
    assert [state.partitions for state in first] == [counts[s.partitions] for s in SPECS.values()]
    listed = await list_topics(bootstrap_servers, prefix=prefix)
    assert {state.name: state.partitions for state in listed} == {s.name: s.partitions for s in first}


async def test_another_number_of_partitions_is_refused(bootstrap_servers: str, run_id: str) -> None:
    await make_topics(bootstrap_servers, run_id, partitions=2)
    with pytest.raises(TopicMismatch, match=r"md\.ticks\.v1' has 2 partitions, 4 are asked for"):
        await create_topics(bootstrap_servers, prefix=replay_prefix(run_id), partitions=4)


async def test_settings_reach_the_broker(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    async with admin_client(bootstrap_servers) as admin:
        ticks = await read_settings(admin, names.ticks)
        instruments = await read_settings(admin, names.instruments)
    for name, value in topic_settings(SPECS["ticks"], names.ticks, embedded=True).items():
        assert ticks[name] == value, name
    assert instruments["cleanup.policy"] == "compact"


async def test_the_largest_dead_letter_fits(bootstrap_servers: str, run_id: str) -> None:
    names = await make_topics(bootstrap_servers, run_id)
    await send(
        bootstrap_servers, names.dead_letters, [Message(b"k", bytes(MAX_DEAD_LETTER_BYTES - 1024), [])]
    )
    (lag,) = await group_lag(bootstrap_servers, "nobody", [names.dead_letters])
    assert lag.end == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_broker_that_is_not_there_is_named_within_seconds(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"{host}:{free_port('127.0.0.1')}"
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=address):
        await create_topics(address, timeout_s=3)
    assert time.monotonic() - started < 10
    assert caplog.records == []


async def test_a_listener_that_never_answers_is_no_broker() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(BrokerUnavailable, match=address):
            await list_topics(address, timeout_s=0.5)


async def test_a_malformed_prefix_makes_no_topics(bootstrap_servers: str, run_id: str) -> None:
    with pytest.raises(SchemaError, match="`prefix`"):
        await create_topics(bootstrap_servers, prefix=f"replay.{run_id}")
    assert await list_topics(bootstrap_servers, prefix=f"replay.{run_id}") == []


def test_the_command_creates_lists_and_refuses(bootstrap_servers: str, run_id: str) -> None:
    runner = CliRunner()
    options = ["--bootstrap-servers", bootstrap_servers, "--prefix", replay_prefix(run_id), "--json"]
    created = json.loads(runner.invoke(topics_command.app, ["create", "--partitions", "2", *options]).stdout)
    assert len(created) == len(SPECS)
    assert all(row["created"] for row in created)
    listed = json.loads(runner.invoke(topics_command.app, ["list", *options]).stdout)
    assert {row["name"] for row in listed} == {row["name"] for row in created}
    refused = runner.invoke(topics_command.app, ["create", "--partitions", "3", *options])
    assert isinstance(refused.exception, TopicMismatch)


def test_the_command_prints_the_contract(tmp_path: Path) -> None:
    runner = CliRunner()
    printed = runner.invoke(topics_command.app, ["asyncapi"]).stdout
    assert json.loads(printed)["asyncapi"] == "3.0.0"
    out = tmp_path / "asyncapi.json"
    assert runner.invoke(topics_command.app, ["asyncapi", "--out", str(out)]).exit_code == 0
    assert out.read_text() == printed
    assert [path.name for path in tmp_path.iterdir()] == ["asyncapi.json"]


async def read_settings(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    resource = response.to_object()["resources"][0]
    return {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
