"""Read topics into an archive up to their ends, or on and on, from where the archive itself says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from pipeline.archive_folder import ArchiveFolder
from replay.archive.recorder import COMMIT_BYTES, Recorder
from replay.errors import ConfigError, SourceError
from topics.admin import list_topics
from topics.connection import admin_client, reader_client
from topics.groups import partitions_of
from topics.specs import TopicNames, topic_names

DEFAULT_TOPICS: Final = ("instruments", "ticks", "graphs", "predictions", "outcomes")
_COMMIT_S: Final = 10.0
_POLL_MS: Final = 200
_FETCHED_MESSAGES: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConfig:
    """What is recorded, and how.

    Attributes
    ----------
    prefix
        Of the topics; empty for live ones.
    topics
        Short names; None for those of `DEFAULT_TOPICS` that exist.
    follow
        Go on at the topics' ends, committing every 10 s, until the recording is stopped.
    start_ns, end_ns
        Half-open interval of the messages' event time; None for no bound.
    commit_bytes
        As in `Recorder`.
    """

    prefix: str = ""
    topics: Sequence[str] | None = None
    follow: bool = False
    start_ns: int | None = None
    end_ns: int | None = None
    commit_bytes: int = COMMIT_BYTES


@dataclass(frozen=True, slots=True)
class Recorded:
    """How far a recording is.

    Attributes
    ----------
    messages, rows
        Taken by this process; rows once they are committed.
    unreadable
        Messages that no decoder takes, kept as they were.
    left
        Messages between here and the topics' ends as they were last looked up.
    """

    messages: int
    rows: int
    unreadable: int
    left: int


async def record_topics(
    bootstrap: str,
    root: Path,
    config: RecordConfig,
    *,
    on_progress: Callable[[Recorded], None] | None = None,
    stop: asyncio.Event | None = None,
) -> Recorded:
    """Write topics to an archive, going on behind what it holds already.

    Parameters
    ----------
    root
        New, empty, or an archive of the same prefix.
    stop
        Set it to end: what was read is committed.

    Raises
    ------
    ArchiveError
        The folder is no archive, or another process writes to it.
    ConfigError
        An unknown topic.
    SourceError
        Messages behind the archive are gone, or a topic is another than the one that was archived.
    BrokerError
        Nobody answers, or a topic does not exist.
    """
    names = await _chosen(bootstrap, config.prefix, config.topics)
    async with admin_client(bootstrap) as admin:
        partitions = await partitions_of(admin, names.values())
    short = {full: name for name, full in names.items()}
    with ArchiveFolder(root, config.prefix) as archive:
        async with reader_client(bootstrap) as consumer:
            recorder = Recorder(
                archive,
                start_ns=config.start_ns,
                end_ns=config.end_ns,
                commit_bytes=config.commit_bytes,
            )
            await _seek(consumer, partitions, short, archive, recorder)
            return await _record(consumer, partitions, short, recorder, config.follow, on_progress, stop)


async def _record(
    consumer: Any,
    partitions: list[Any],
    short: dict[str, str],
    recorder: Recorder,
    follow: bool,
    on_progress: Callable[[Recorded], None] | None,
    stop: asyncio.Event | None,
) -> Recorded:
    ends = await consumer.end_offsets(partitions)
    committed_s = time.monotonic()
    while True:
        positions = {key: await consumer.position(key) for key in partitions}
        left = sum(max(0, ends[key] - positions[key]) for key in partitions)
        reading = Recorded(recorder.messages, recorder.rows, recorder.unreadable, left)
        if on_progress is not None:
            on_progress(reading)
        if (not follow and not left) or (stop is not None and stop.is_set()):
            break
        # Without --follow partitions that have been read to their end as it was are left alone.
        behind = [key for key in partitions if follow or positions[key] < ends[key]]
        fetched = await consumer.getmany(*behind, timeout_ms=_POLL_MS, max_records=_FETCHED_MESSAGES)
        for key, records in fetched.items():
            for record in records:
                if follow or record.offset < ends[key]:
                    recorder.add(short[key.topic], record)
        is_due = follow and time.monotonic() - committed_s >= _COMMIT_S
        if recorder.is_full or is_due:
            recorder.commit()
            committed_s = time.monotonic()
        if follow and not left:
            ends = await consumer.end_offsets(partitions)
    recorder.commit()
    return Recorded(recorder.messages, recorder.rows, recorder.unreadable, reading.left)


async def _chosen(bootstrap: str, prefix: str, topics: Sequence[str] | None) -> dict[str, str]:
    known = topic_names(prefix)
    all_names = {field.name: getattr(known, field.name) for field in fields(TopicNames)}
    if topics is None:
        there = {state.name for state in await list_topics(bootstrap, prefix=prefix)}
        found = {name: all_names[name] for name in DEFAULT_TOPICS if all_names[name] in there}
        if not found:
            raise ConfigError(f"no topic with prefix {prefix!r} is on the broker at {bootstrap!r}")
        return found
    unknown = [name for name in topics if name not in all_names]
    if unknown or not topics:
        raise ConfigError(
            f"topics {', '.join(unknown) or '(none)'}: give some of {', '.join(all_names)}, with commas between"
        )
    # Ticks cannot be replayed without what their ids mean.
    wanted = ["instruments", *topics] if "ticks" in topics else topics
    return {name: all_names[name] for name in dict.fromkeys(wanted)}


async def _seek(
    consumer: Any, partitions: list[Any], short: dict[str, str], archive: ArchiveFolder, recorder: Recorder
) -> None:
    consumer.assign(partitions)
    first = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    for key in partitions:
        name = short[key.topic]
        known = archive.manifest.next_offsets.get(name, {}).get(str(key.partition))
        offset = first[key] if known is None else known
        if offset > ends[key]:
            raise SourceError(
                f"{archive.root}: holds {key.topic!r} partition {key.partition} up to offset {offset}, the topic"
                f" ends at {ends[key]}: it was made anew; archive it into another folder"
            )
        if offset < first[key]:
            raise SourceError(
                f"{key.topic!r} partition {key.partition}: messages {offset}..{first[key] - 1} are gone from the"
                f" broker before they were archived in {archive.root}: start another archive"
            )
        consumer.seek(key, offset)
        recorder.begin(name, key.partition, offset)
