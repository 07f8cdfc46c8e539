"""Checkpoints in a changelog of a real broker: as the next worker finds them, whatever the last one left."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import faust
import pytest

from pipeline.agents.changelog import TopicChangelog
from pipeline.agents.checkpoints import MAX_CHUNK_BYTES, Checkpoints

pytestmark = pytest.mark.broker

KEY = b"universe"


@pytest.fixture
async def changelog(bootstrap_servers: str, run_id: str, tmp_path: str) -> AsyncIterator[TopicChangelog]:
    app = faust.App(
        run_id,
        broker=f"kafka://{bootstrap_servers}",
        datadir=str(tmp_path),
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
    )
    changelog = TopicChangelog(app, bootstrap_servers, "scoring")
    await app.maybe_start_producer()
    yield changelog
    await app.producer.stop()


async def test_the_next_worker_finds_the_newest_checkpoint(changelog: TopicChangelog) -> None:
    first = Checkpoints(changelog, KEY)
    assert await first.load(0) is None
    large = os.urandom(2 * MAX_CHUNK_BYTES + 5)  # three chunks, so that more than the first step is read
    for state in (b"small", b"other", large):
        await first.save(0, state)
        assert await Checkpoints(changelog, KEY).load(0) == state
    await first.save(0, b"last")
    assert await first.load(0) == await Checkpoints(changelog, KEY).load(0) == b"last"


async def test_a_torn_write_leaves_the_last_whole_one(changelog: TopicChangelog) -> None:
    first = Checkpoints(changelog, KEY)
    await first.load(0)
    for state in (b"one", b"two"):
        await first.save(0, state)
    # "two" lies on side 1; what a killed worker had sent of the next one lies on side 0.
    await changelog.write(0, [(KEY + b"/0/0", b"torn"), (KEY + b"/0/1", b"torn")])
    survivor = Checkpoints(changelog, KEY)
    assert await survivor.load(0) == b"two"
    await survivor.save(0, b"three")
    assert await Checkpoints(changelog, KEY).load(0) == b"three"


async def test_another_key_is_another_checkpoint(changelog: TopicChangelog) -> None:
    one, other = Checkpoints(changelog, KEY), Checkpoints(changelog, b"another")
    await one.load(0)
    await one.save(0, b"one")
    assert await other.load(0) is None
    for number in range(20):
        await other.save(0, b"%d" % number)
    assert await Checkpoints(changelog, KEY).load(0) == b"one"
