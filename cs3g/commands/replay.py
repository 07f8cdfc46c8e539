"""`cs3g replay`: history into Kafka, at any speed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

if TYPE_CHECKING:
    from replay.config import ReplayConfig
    from replay.report import ReplayReport
    from replay.sinks import Sink
    from replay.sources.base import Source
    from replay.sources.relations import Relations


def replay(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files or folders: DBN, Parquet, Arrow, CSV, LEAN zips, archives; or sp500-2009, the installed panel.",
        ),
    ],
    start: Annotated[
        str | None,
        typer.Option("--from", help="First event time: 2013-10-07, 2013-10-07T09:30-04:00, or ns."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Event time to stop before.")] = None,
    session: Annotated[
        str | None, typer.Option(help="Only these hours: RTH, or 09:30-16:00@America/New_York.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Only these, with commas between.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many ticks.")] = None,
    speed: Annotated[
        float, typer.Option(help="0: as fast as possible. 1: as it happened. N: N times as fast.")
    ] = 0.0,
    max_gap: Annotated[
        float | None, typer.Option(help="Never wait longer than so many seconds between two ticks.")
    ] = None,
    clock: Annotated[
        Literal["ts_event", "ts_recv"],
        typer.Option(help="Order of the merge: the exchange's, or the recorder's."),
    ] = "ts_event",
    late: Annotated[
        str | None,
        typer.Option(metavar="SHARE:TIME", help="Hold back such a share of ticks by up to so long: 1%:5s."),
    ] = None,
    late_seed: Annotated[int, typer.Option(help="Which ticks --late holds back.")] = 0,
    step: Annotated[
        str | None, typer.Option(help="Send so much event time at each press of Enter, e.g. 1s.")
    ] = None,
    batch_ticks: Annotated[int, typer.Option(help="Ticks a message.")] = 1000,
    heartbeat: Annotated[str, typer.Option(help="Event time between heartbeats, 0 for none.")] = "1s",
    partitions: Annotated[int | None, typer.Option(help="Partitions of the tick topic.")] = None,
    run_id: Annotated[
        str | None, typer.Option(help="Name of the replay; default: from the time of day.")
    ] = None,
    universe: Annotated[str | None, typer.Option(help="Name of the universe.")] = None,
    sectors: Annotated[
        Path | None,
        typer.Option(help="Table of symbol, sector, or of symbol_a, symbol_b, relation[, weight]."),
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka brokers, host:port[,host:port].")
    ] = None,
    topic_prefix: Annotated[str | None, typer.Option(help="Default: replay.<run id>.")] = None,
    follow_group: Annotated[
        str | None, typer.Option(help="Consumer group to wait for, so that it never falls far behind.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of --run-id.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not read the input to its end before sending.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read, merge and count; send nothing.")] = False,
    i_know_this_is_live: Annotated[
        bool, typer.Option("--i-know-this-is-live", help="Write to live topics; needs --confirm-live-topic.")
    ] = False,
    confirm_live_topic: Annotated[str | None, typer.Option(help="Full name of that live tick topic.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Replay recorded ticks, bars or panels into Kafka, in event order and to the tick accounted for.

    Example: cs3g replay ticks.parquet quotes/ --symbols AAPL,MSFT --speed 10 --max-gap 5 --run-id morning
    """
    import datetime as dt
    from dataclasses import replace

    from pipeline.config import load_config
    from replay.archive.recorded import the_recorded
    from replay.config import ReplayConfig
    from replay.errors import ConfigError
    from replay.lateness import Lateness
    from replay.options import new_run_id, parse_span, parse_symbols, parse_time
    from replay.sessions import Session
    from replay.sources.open import open_sources
    from replay.sources.relations import read_relations
    from topics.specs import replay_prefix

    settings = load_config(
        bootstrap_servers=bootstrap_servers, universe=universe, tick_partitions=partitions, run_id=run_id
    )
    if resume and not settings.run_id:
        raise ConfigError("--resume needs the --run-id of the interrupted replay")
    if step is not None and speed:
        raise ConfigError(f"--step waits for a key, --speed (={speed:g}) for a time: give one of them")
    config = ReplayConfig(
        run_id=settings.run_id or new_run_id(dt.datetime.now(dt.UTC)),
        universe=settings.universe,
        partitions=settings.tick_partitions,
        start_ns=None if start is None else parse_time(start),
        end_ns=None if end is None else parse_time(end),
        session=None if session is None else Session.parse(session),
        symbols=None if symbols is None else parse_symbols(symbols),
        limit=limit,
        speed=speed,
        max_gap_s=max_gap,
        clock=clock,
        late=None if late is None else Lateness.parse(late, late_seed),
        batch_ticks=batch_ticks,
        heartbeat_ns=parse_span("--heartbeat", heartbeat),
        check_first=not no_check,
    )
    replay_prefix(config.run_id)  # a run id that makes no topic name is refused before anything is read
    step_ns = None if step is None else parse_span("--step", step)
    sources = open_sources(paths, config.selection)
    recorded = the_recorded(sources)
    if recorded is not None and partitions is None:
        config = replace(config, partitions=recorded.archive.partitions)
    target = None
    if not dry_run:
        target = _Target(
            settings.bootstrap_servers,
            topic_prefix if topic_prefix is not None else settings.topic_prefix or None,
            follow_group,
            resume,
            i_know_this_is_live,
            confirm_live_topic,
        )
    relations = None if sectors is None else read_relations(sectors)
    report = _run(config, sources, relations, target, step_ns)
    _print_report(report, as_json)
    if not report.is_complete:
        raise typer.Exit(130)


class _Target(NamedTuple):
    """Where the replay goes, unless it is a dry run."""

    bootstrap: str
    prefix: str | None
    follow_group: str | None
    resume: bool
    allow_live: bool
    confirm_live_topic: str | None


def _run(
    config: ReplayConfig,
    sources: list[Source],
    relations: Relations | None,
    target: _Target | None,
    step_ns: int | None,
) -> ReplayReport:
    import asyncio
    import sys
    from functools import partial

    from rich.console import Console

    from cs3g.stepping import StepKeys
    from cs3g.stopping import stop_event
    from replay.progress import ReplayProgress
    from replay.runner import run_replay
    from replay.sinks import NullSink
    from replay.stepping import StepGate

    async def run() -> ReplayReport:
        stop = stop_event()
        async with AsyncExitStack() as stack:
            sink = NullSink() if target is None else await _connect(stack, config, target)
            replay = partial(run_replay, config, sources, sink, relations=relations, stop=stop)
            if step_ns is not None:  # whoever leads it needs no bar
                keys = StepKeys(step_ns, sys.stdin.fileno(), partial(typer.echo, err=True), stop)
                return await replay(gate=StepGate(step_ns, keys.ask))
            progress = stack.enter_context(ReplayProgress(Console(stderr=True)))
            return await replay(on_progress=progress.update)

    return asyncio.run(run())


async def _connect(stack: AsyncExitStack, config: ReplayConfig, target: _Target) -> Sink:
    from replay.kafka_sink import KafkaSink
    from topics.backlog import BacklogGuard
    from topics.specs import replay_prefix, topic_names

    prefix = replay_prefix(config.run_id) if target.prefix is None else target.prefix
    guard = None
    if target.follow_group is not None:
        guard = BacklogGuard(target.bootstrap, target.follow_group, [topic_names(prefix).ticks])
        await stack.enter_async_context(guard)
    sink = KafkaSink(
        target.bootstrap,
        prefix=prefix,
        partitions=config.partitions,
        allow_live=target.allow_live,
        confirm_live_topic=target.confirm_live_topic,
        create_missing=True,
        resume=target.resume,
        guard=guard,
    )
    return await stack.enter_async_context(sink)


def _print_report(report: ReplayReport, as_json: bool) -> None:
    import json

    text = json.dumps(report.as_dict(), indent=2, sort_keys=True) if as_json else report.as_text()
    typer.echo(text)
