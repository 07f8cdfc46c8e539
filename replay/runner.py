"""Run a replay: check the input, emit it, and report what became of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from replay.archive.recorded import the_recorded
from replay.archive.stream import RecordedStream
from replay.config import ReplayConfig
from replay.emission import Control, Emission
from replay.errors import ConfigError
from replay.gate import Gate
from replay.instruments import InstrumentTable, instrument_table
from replay.pacing import Clock, SystemClock
from replay.pieces import Stream
from replay.report import Progress, ReplayReport
from replay.sinks import Sink
from replay.sources.base import Source
from replay.sources.relations import Relations
from replay.stream import Survey, TickStream
from topics.types import NANOS_PER_SECOND


async def run_replay(
    config: ReplayConfig,
    sources: Sequence[Source],
    sink: Sink,
    *,
    clock: Clock | None = None,
    gate: Gate | None = None,
    relations: Relations | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
) -> ReplayReport:
    """Replay sources into a sink.

    Parameters
    ----------
    sources
        From `open_sources(paths, config.selection)`.
    gate
        Holds a replay that is not paced back at times in the data.
    relations
        Edges between instruments, and sectors instead of what the sources say.
    on_progress
        Called after each chunk, or when paced after each wake.
    stop
        Set it to end early: what was emitted is flushed, and the report says that it is incomplete.

    Raises
    ------
    ConfigError
        A gate for a paced replay.
    SourceError
        Bad input; with a sink that publishes, before anything is sent (`check_first`).
    SinkError, TopicError
        The broker refused.
    """
    if gate is not None and config.speed:
        raise ConfigError(f"`speed` (={config.speed}) must be 0 for a replay that a gate holds back")
    instruments = instrument_table(sources, relations)
    recorded = the_recorded(sources)
    stream: Stream
    if recorded is not None:
        stream = RecordedStream(config, recorded)
    else:
        stream = TickStream(config, sources, instruments)
    control = Control(clock=clock or SystemClock(), gate=gate, stop=stop or asyncio.Event())
    tell = on_progress or _ignored
    must_check = config.check_first and sink.publishes
    survey = await _surveyed(stream, control, tell) if must_check else None

    def emitted() -> None:
        tell(_progress(config, emission, survey))

    emission = Emission(config, stream, sink, instruments, control, emitted)
    is_complete = False
    if survey is not None or not must_check:
        try:
            is_complete = await emission.run()
        except asyncio.CancelledError:
            # What was handed over is in order and without gaps: leave it so, for a resumption.
            await sink.flush()
            raise
    return _report(config, stream, sources, instruments, emission, is_complete)


def _ignored(_: Progress) -> None:
    pass


async def _surveyed(stream: Stream, control: Control, tell: Callable[[Progress], None]) -> Survey | None:
    """Read everything once; return what there is, None if it was stopped before the end."""
    survey = Survey()
    for records in stream.chunks():
        survey.add(records)
        tell(Progress(stage="check", ticks=survey.ticks, ts_event=survey.ts_last, fraction=None))
        await control.clock.sleep(0)
        if control.stop.is_set():
            return None
    if not survey.ticks:
        raise stream.empty()
    return survey


def _progress(config: ReplayConfig, emission: Emission, survey: Survey | None) -> Progress:
    ticks, last = emission.account.ticks, emission.account.ts_last
    fraction = None
    if survey is not None and survey.ts_first is not None:
        span = survey.ts_last - survey.ts_first
        is_by_time = bool(config.speed) and span > 0
        fraction = max(last - survey.ts_first, 0) / span if is_by_time else ticks / survey.ticks
    return Progress(stage="replay", ticks=ticks, ts_event=last, fraction=fraction)


def _report(
    config: ReplayConfig,
    stream: Stream,
    sources: Sequence[Source],
    instruments: InstrumentTable,
    emission: Emission,
    is_complete: bool,
) -> ReplayReport:
    skipped: Counter[str] = sum((source.tally.skipped for source in sources), Counter())
    corrected: Counter[str] = sum((source.tally.corrected for source in sources), Counter())
    rows = sum(source.tally.rows for source in sources)
    account, lags = emission.account, emission.lags
    since = account.ts_first if emission.paced_from is None else emission.paced_from
    wall_s = (emission.ended_ns - emission.started_ns) / NANOS_PER_SECOND
    is_paced = bool(config.speed)
    return ReplayReport(
        run_id=config.run_id,
        schema=stream.schema,
        is_complete=is_complete,
        sources=tuple(source.name for source in sources),
        ticks=account.ticks,
        ticks_by_symbol=account.by_symbol(instruments.symbols),
        ticks_by_partition=account.by_partition,
        heartbeats=stream.heartbeats,
        messages=emission.n_messages,
        rows=rows,
        skipped=dict(sorted(skipped.items())),
        not_selected=rows - account.ticks - skipped.total(),
        held_back=stream.held_back,
        corrected=dict(sorted(corrected.items())),
        already_sent=emission.n_already_sent,
        digest=account.digest,
        ts_first=account.ts_first,
        ts_last=None if account.ts_first is None else account.ts_last,
        event_s=_seconds(account.ts_first, account.ts_last),
        wall_s=wall_s,
        speed=_seconds(since, account.ts_last) / wall_s if wall_s else None,
        ticks_per_s=account.ticks / wall_s if wall_s else 0.0,
        lag_p99_s=lags.quantile_s(0.99) if is_paced else None,
        lag_worst_s=lags.worst_s if is_paced else None,
    )


def _seconds(first_ns: int | None, last_ns: int) -> float:
    return 0.0 if first_ns is None else (last_ns - first_ns) / NANOS_PER_SECOND
