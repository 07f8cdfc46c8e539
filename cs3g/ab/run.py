"""What `cs3g ab` does: read the history, score it, compare, write the report."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.status import Status

from cs3g.ab.comparison import compare
from cs3g.ab.history import (
    History,
    Input,
    is_graph_archive,
    open_input,
    read_archived_history,
    read_history,
)
from cs3g.ab.in_process import Scored, score_history
from cs3g.ab.latency import latency_values, step_times_ms
from cs3g.ab.learned_graph import dense_graph, graph_values
from cs3g.ab.market import Market, market_of_graphs
from cs3g.ab.models import Contender, load_contenders
from cs3g.ab.provenance import Provenance
from cs3g.ab.report import Report, make_report, write_report
from cs3g.ab.scores import ModelScores, lay_scores
from cs3g.ab.sections import common_sections
from cs3g.ab.settings import AbSettings
from cs3g.errors import ComparisonError
from cs3g.files import write_json
from cs3g_model.artifacts import runtime_of
from pipeline.graphs import snapshots_of
from replay.options import parse_time
from topics.cuts import slice_graphs
from topics.types import NANOS_PER_DAY

__all__ = ["AbOptions", "run_ab"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AbOptions:
    """What the command was asked for; see `cs3g ab --help`."""

    models: tuple[str, ...]
    out: Path
    data: tuple[str, ...] = ()
    relations: Path | None = None
    window: str | None = None
    limit: int | None = None
    symbols: frozenset[str] | None = None
    day: str | None = None
    registry: str | None = None
    through_kafka: bool = False
    bootstrap_servers: str | None = None
    settings: AbSettings = field(default_factory=AbSettings)


def run_ab(options: AbOptions, console: Console | None = None) -> Report:
    """Compare models on a history, and write the report.

    Raises
    ------
    ComparisonError
        The models cannot be compared; or the scores through Kafka are not those made in process.
    ArtifactError, ReplayError, TopicError, PipelineError
        A model, a file or a broker is not as needed.
    """
    console = console or Console(stderr=True)
    contenders = load_contenders(options.models, options.registry)
    given = _open(options)
    began = time.monotonic()
    with console.status("reading") as status:
        history = _read(options, given, status)
        window = window_of_day(history, options.day)
        scored = [_score(one, history, window, status) for one in contenders]
        market = market_of_graphs(history.snapshots, history.sector_names)
        models = _laid(contenders, [one.predictions for one in scored], market)
        # What cannot be compared is refused before a broker starts.
        common_sections(models, market, options.settings)
        status.update("timing steps")
        runtimes = {one.name: runtime_of(one.artifact) for one in contenders}
        latency = latency_values(step_times_ms(runtimes, history.snapshots))
    run: dict[str, Any] = {"transport": "in process", "step_latency": latency}
    if options.through_kafka and given is not None:
        models, online = _through_kafka(options, given, contenders, models, history, market, console)
        run |= online
    with console.status("comparing"):
        comparison = compare(models, market, options.settings)
        graph = _graph(contenders, scored, history, market, window)
        provenance = Provenance(
            sources=history.sources,
            data_digest=history.data_digest,
            config_hash=history.config_hash,
            settings=options.settings,
            extra={"ticks": history.ticks},
        )
        report = make_report(models, market, provenance, comparison, graph=graph, latency=latency)
        write_report(options.out, report)
    write_json(options.out / "run.json", run | {"wall_s": time.monotonic() - began})
    return report


def _open(options: AbOptions) -> Input | None:
    """Open the files; None for an archive of snapshots, which needs no more than reading."""
    if is_graph_archive(options.data):
        _refuse_with_archive(options)
        return None
    return open_input(
        options.data,
        relations=options.relations,
        window=options.window,
        limit=options.limit,
        symbols=options.symbols,
    )


def _read(options: AbOptions, given: Input | None, status: Status) -> History:
    if given is None:
        return read_archived_history(Path(options.data[0]))
    return read_history(given, lambda at: status.update(f"read {at.ticks:,} ticks"))


def _score(one: Contender, history: History, window: int, status: Status) -> Scored:
    def tell(n_windows: int) -> None:
        status.update(f"{one.name} scored {n_windows:,} windows")

    return score_history(one, history.snapshots, window, on_progress=tell)


def _through_kafka(
    options: AbOptions,
    given: Input,
    contenders: Sequence[Contender],
    offline: Sequence[ModelScores],
    history: History,
    market: Market,
    console: Console,
) -> tuple[list[ModelScores], dict[str, Any]]:
    """Score again behind a broker; return those scores, which are the same, and what was measured."""
    from cs3g.ab.through_kafka import score_through_kafka

    # As Ctrl-C does: everything that was started is stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = score_through_kafka(given, contenders, options.out, console, options.bootstrap_servers)
    online = _laid(contenders, found.predictions, market)
    require_equal(offline, online, [history.data_digest, *found.data_digests])
    times = {one.name: ms for one, ms in zip(contenders, found.latencies_ms, strict=True)}
    return online, {
        "transport": "kafka",
        "replays_wall_s": found.wall_s,
        "tick_to_prediction": latency_values(times),
    }


def _refuse_with_archive(options: AbOptions) -> None:
    """Refuse what makes snapshots, where they are made already."""
    refused = {
        "--through-kafka": options.through_kafka,
        "--relations": options.relations is not None,
        "--window": options.window is not None,
        "--limit": options.limit is not None,
        "--symbols": options.symbols is not None,
    }
    for name, is_given in refused.items():
        if is_given:
            raise ComparisonError(
                f"{name} does not go with {options.data[0]}, an archive of snapshots: they are scored as they are, "
                "in process; give an archive of ticks, or the files that they came from"
            )


def window_of_day(history: History, day: str | None) -> int:
    """Return the last window that opens on a day, UTC; the history's last one for no day.

    Raises
    ------
    ComparisonError
        If no window opens on it, or it is none.
    """
    snapshots = history.snapshots
    if day is None:
        return len(snapshots.ts_close) - 1
    opens = snapshots.ts_close - snapshots.size_ns
    start = parse_time(day) // NANOS_PER_DAY * NANOS_PER_DAY
    here = np.flatnonzero((opens >= start) & (opens < start + NANOS_PER_DAY))
    if not len(here):
        first, last = (np.datetime64(int(opens[i]), "ns").astype("datetime64[D]") for i in (0, -1))
        raise ComparisonError(
            f"--day {day}: no window opens on that day; the data has days from {first} to {last}"
        )
    return int(here[-1])


def require_equal(
    offline: Sequence[ModelScores], online: Sequence[ModelScores], digests: Sequence[str]
) -> None:
    """Check that what came through Kafka is what this process made, bit for bit.

    Raises
    ------
    ComparisonError
        If a digest differs.
    """
    if len(set(digests)) != 1:
        raise ComparisonError(
            f"the replays through Kafka sent other ticks than this process read: digests {', '.join(digests)}; "
            "is a file being written?"
        )
    for here, there in zip(offline, online, strict=True):
        if here.digest != there.digest:
            raise ComparisonError(
                f"{here.name}'s scores through Kafka have digest {there.digest}, in process {here.digest}: the "
                "workers run other code or settings than this command; their logs are beside the report"
            )


def _laid(contenders: Sequence[Contender], predictions: Sequence[Any], market: Market) -> list[ModelScores]:
    return [
        lay_scores(one.name, one.manifest, runs, market)
        for one, runs in zip(contenders, predictions, strict=True)
    ]


def _graph(
    contenders: Sequence[Contender], scored: Sequence[Scored], history: History, market: Market, window: int
) -> dict[str, Any]:
    snapshot = snapshots_of(slice_graphs(history.snapshots, window, window + 1))
    graphs = {
        one.name: dense_graph(one.artifact, snapshot, found.before)
        for one, found in zip(contenders, scored, strict=True)
    }
    return graph_values(graphs, snapshot, market, int(market.ts_close[window]))
