"""The section's rows: each format to the topic beside the peers, memory of a large file, and the pace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from benchmarks.replay.inputs import (
    LARGE_TICKS,
    PACED_PER_S,
    dbn_of,
    large_dbn,
    lean_folder,
    parquet_of_trades,
    write_parquet,
)
from benchmarks.rows import Options, Row, median, ratio

COMMAND: Final = "python -m benchmarks replay"
_TARGETS: Final = {"Parquet": 3_000_000, "DBN": 3_000_000, "LEAN zips": 1_000_000}
_PEERS: Final = {"NautilusTrader": "nautilus_engine.py", "databento": "databento_replay.py"}
_RSS_MB: Final = 400.0
_LAG_MS: Final = 1.0
_PACED_S, _PACED_QUICK_S = 20, 5


def rows(options: Options) -> list[Row]:
    """Measure the section, ours and the peers' in turns."""
    parquet, what = parquet_of_trades(options.data, options.work)
    dbn = dbn_of(parquet, options.work)
    files = {"Parquet": parquet, "DBN": dbn}
    lean = lean_folder(options.data)
    if lean is not None:
        files["LEAN zips"] = lean
    paced_s = _PACED_QUICK_S if options.quick else _PACED_S
    paced = write_parquet(options.work / "paced.parquet", paced_s * PACED_PER_S, per_s=PACED_PER_S)
    ours: dict[str, list[dict[str, Any]]] = defaultdict(list)
    peers: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.repeats):
        for name, path in files.items():
            ours[name].append(_ours(path))
        ours["paced"].append(_ours(paced, "--speed", "1"))
        for name, rate in _peers(options.peers_python, parquet, dbn).items():
            peers[name].append(rate)
        print(
            "   "
            + "  ".join(
                f"{name} {_rate(found[-1]):,.0f}/s" for name, found in ours.items() if name != "paced"
            ),
            flush=True,
        )
    beside = {name: median(rates) for name, rates in peers.items()}
    made = [_throughput(name, ours[name], beside, what) for name in files]
    return [*made, _pace(ours["paced"]), *_memory(options)]


def _throughput(name: str, runs: list[dict[str, Any]], beside: dict[str, float], what: str) -> Row:
    digests = {run["digest"] for run in runs}
    if len(digests) != 1:
        raise RuntimeError(f"the same file gave other ticks: {digests}")
    rate = median([_rate(run) for run in runs])
    cpu_s = median([run["cpu_s"] for run in runs])
    what = "real trades and quotes" if name == "LEAN zips" else what
    return Row(
        f"replay: {name} to topic",
        rate,
        "ticks/s",
        "higher",
        target=_TARGETS[name],
        peers=beside,
        ratios={peer: ratio(rate, other, "higher") for peer, other in beside.items()},
        limit=runs[0]["ticks"] / cpu_s,
        command=COMMAND,
        note=f"{runs[0]['ticks']:,} {what}, opening the file included, acknowledged by the embedded broker;"
        f" our CPU {cpu_s:.2f} s, limit: if that were all; peers only call a function for each tick",
    )


def _pace(runs: list[dict[str, Any]]) -> Row:
    return Row(
        f"replay: lag behind the schedule at {PACED_PER_S:,} ticks/s, p99",
        median([run["lag_p99_ms"] for run in runs]),
        "ms",
        "lower",
        target=_LAG_MS,
        command=COMMAND,
        note=f"{runs[0]['ticks']:,} ticks in {runs[0]['messages']:,} messages, handed to the producer;"
        f" CPU {median([run['cpu_s'] for run in runs]):.1f} s",
    )


def _memory(options: Options) -> list[Row]:
    large = LARGE_TICKS // 4 if options.quick else LARGE_TICKS
    made = []
    for name in ("DBN", "Parquet"):
        peak = {
            ticks: float(_ours(_large(options.work, name, ticks), "--no-broker")["rss_mb"])
            for ticks in (large // 4, large)
        }
        made.append(
            Row(
                f"replay: peak memory, {large:,} ticks of {name}",
                peak[large],
                "MB",
                "lower",
                target=_RSS_MB,
                command=COMMAND,
                note=f"a file of a quarter takes {peak[large // 4]:.0f} MB",
            )
        )
    return made


def _large(work: Path, name: str, ticks: int) -> Path:
    if name == "DBN":
        return large_dbn(work, ticks)
    return write_parquet(work / f"large-{ticks}.parquet", ticks, per_s=10_000)


def _ours(path: Path, *options: str) -> dict[str, Any]:
    return _json([sys.executable, "-m", "benchmarks.replay.ours", str(path), *options])


def _peers(python: Path | None, parquet: Path, dbn: Path) -> dict[str, float]:
    if python is None:
        return {}
    folder = Path(__file__).parent / "peers"
    found = {}
    for name, script in _PEERS.items():
        path = dbn if name == "databento" else parquet
        try:
            found[name] = _rate(_json([str(python), str(folder / script), str(path)]))
        except subprocess.CalledProcessError as error:
            print(f"   {name} left out: {error.stderr.strip().splitlines()[-1:]}", flush=True)
    return found


def _json(command: list[str]) -> dict[str, Any]:
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    value: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return value


def _rate(run: dict[str, Any]) -> float:
    return float(run["ticks"] / run["wall_s"])
