"""The golden digests of replays: `python -m tests.golden.replay_regenerate` writes them anew.

A change of these digests is a change of what strategies and models see: say why in the CHANGELOG.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replay.config import ReplayConfig
from replay.runner import run_replay
from replay.sinks import NullSink
from replay.sources.open import open_sources
from tests.unit.replay.factories import dbn_bytes, trades, write_lean

DIGESTS = Path(__file__).resolve().parent / "replay_digests.json"


def write_sample(folder: Path) -> list[Path]:
    """Write a LEAN day of trades and quotes, and a DBN file of trades of another symbol in the same hour."""
    bids = [f"{34_200_000 + 7 * i},{139_400 + i % 9 * 100},{100 + i % 7 * 100},0,0,P,1,0" for i in range(300)]
    asks = [f"{34_200_003 + 7 * i},0,0,{139_600 + i % 5 * 100},{300 + i % 3 * 100},P,1,0" for i in range(300)]
    lines = sorted(bids + asks, key=lambda line: int(line.split(",")[0]))
    write_lean(folder, "bac", "20131007", "quote", [*lines, "34300000,1,1,0,0,P,1,1"])
    write_lean(
        folder,
        "bac",
        "20131007",
        "trade",
        [f"{34_200_000 + 11 * i},{139_500 + i % 3 * 50},{i + 1},D,1,0" for i in range(200)],
    )
    dbn = folder / "x.dbn"
    dbn.write_bytes(
        dbn_bytes(
            "trades",
            trades([i * 13_000_000 for i in range(150)]),
            [("AAPL", [("2013-10-07", "2013-10-08", 1)])],
        )
    )
    return [folder / "tick", dbn]


def replay_of(paths: Sequence[Path | str], **options: Any) -> dict[str, Any]:
    config = ReplayConfig(run_id="golden", **options)
    report = asyncio.run(run_replay(config, open_sources(paths, config.selection), NullSink()))
    return {
        "digest": report.digest,
        "schema": report.schema,
        "ticks": report.ticks,
        "heartbeats": report.heartbeats,
        "skipped": report.skipped,
    }


def make_digests() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        sample = replay_of(write_sample(Path(folder)))
    return {"lean and dbn sample": sample, "sp500-2009": replay_of(["sp500-2009"])}


if __name__ == "__main__":
    DIGESTS.write_text(json.dumps(make_digests(), indent=2, sort_keys=True) + "\n")
