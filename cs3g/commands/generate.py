"""`cs3g generate`: a market whose lead-lag graph and best possible score are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from replay.generator.market import Market


def generate(
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    instruments: Annotated[int | None, typer.Option(help="Number of instruments; 500.")] = None,
    windows: Annotated[int | None, typer.Option(help="Number of windows; 1500.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides every random choice; 0.")] = None,
    window: Annotated[
        Literal["1d", "1m"] | None, typer.Option(help="Days, or minutes of sessions of 390; 1d.")
    ] = None,
    ticks: Annotated[
        int | None, typer.Option(help="Write trades too: so many of each instrument in each window, 4..1000.")
    ] = None,
    ticks_format: Annotated[
        Literal["dbn", "parquet"], typer.Option(help="Databento's binary format, or a table.")
    ] = "dbn",
    config: Annotated[
        Path | None, typer.Option(help="TOML file with a table [market] of settings; options go before it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print market.json.")] = False,
) -> None:
    """Generate a market with a planted lead-lag graph that changes over time; the same seed, the same bytes.

    Writes panel.parquet, sectors.parquet, truth_edges.parquet, oracle.parquet, market.json, and ticks.dbn if asked.

    Example: cs3g generate --out market --instruments 500 --windows 1500 --seed 0
    """
    import json

    from cs3g.files import write_json, write_whole
    from replay.generator.config import read_market_config
    from replay.generator.files import write_edges, write_oracle, write_panel, write_sectors
    from replay.generator.market import generate_market
    from replay.generator.ticks import check_ticks_per_window

    settings = read_market_config(config, instruments=instruments, windows=windows, seed=seed, window=window)
    if ticks is not None:
        check_ticks_per_window(ticks)
    market = generate_market(settings)
    writers = {
        "panel.parquet": write_panel,
        "sectors.parquet": write_sectors,
        "truth_edges.parquet": write_edges,
        "oracle.parquet": write_oracle,
    }
    for name, write in writers.items():
        write_whole(out / name, lambda temporary, write=write: write(market, temporary))  # type: ignore[misc]
    files = list(writers)
    if ticks is not None:
        files.append(f"ticks.{ticks_format}")
        _write_ticks(market, out / files[-1], ticks, ticks_format)
    summary = _summary(market, {name: out / name for name in files})
    write_json(out / "market.json", summary)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, sort_keys=True))
        return
    test = summary["oracle_rank_ic"]["test"]
    typer.echo(
        f"{out}: {settings.instruments:,} instruments x {settings.windows:,} windows, seed {settings.seed};"
        f" the oracle's rank IC in the last {test['windows']:,} is {test['mean']:.4f}"
        f" [{test['low']:.4f}, {test['high']:.4f}]"
    )


def _write_ticks(market: Market, path: Path, per_window: int, file_format: str) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from cs3g.files import write_whole
    from replay.generator.files import write_ticks

    total = per_window * market.config.instruments * market.config.windows
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("ticks", total=total)
        write_whole(
            path,
            lambda temporary: write_ticks(
                market, temporary, per_window, file_format, lambda rows: progress.advance(task, rows)
            ),
        )


def _summary(market: Market, files: dict[str, Path]) -> dict[str, Any]:
    from dataclasses import asdict

    import numpy as np

    from replay.generator.clock import date_of

    series = market.oracle_rank_ic()
    parts = dict(zip(("train", "valid", "test"), np.split(series[:-1], market.splits), strict=True))
    dates = [date_of(ts).isoformat() for ts in market.ts_open.tolist()]
    stops = dict(zip(parts, [*market.splits, len(dates)], strict=True))
    return {
        "config": asdict(market.config),
        "changes": [{"window": at, "date": dates[at]} for at in market.config.change_windows],
        "splits": {name: {"stop": stop, "last_date": dates[stop - 1]} for name, stop in stops.items()},
        "edges": int(market.graph.weights[0].size),
        "oracle_rank_ic": {"all": _interval(series), **{k: _interval(part) for k, part in parts.items()}},
        "sha256": {name: _sha256(path) for name, path in files.items()},
    }


def _interval(series: Any) -> dict[str, Any] | None:
    import numpy as np

    from cs3g_model.metrics import bootstrap_mean

    finite = series[np.isfinite(series)]
    if not len(finite):
        return None
    interval = bootstrap_mean(finite)
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "windows": len(finite)}


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
