"""The table of a benchmark run, and its file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row

_PACKAGES: Final = ("cs3g", "faust-streaming", "aiokafka", "noida-db", "numba", "numpy", "pyarrow", "torch")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and on what the numbers were taken; `load` is the load average of the last minute at the start."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    commit: str
    versions: dict[str, str]
    load: float
    started: str

    @classmethod
    def now(cls) -> Self:
        """Look."""
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
        )
        return cls(
            processor=_processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            system=platform.platform(),
            python=platform.python_version(),
            commit=described.stdout.strip(),
            versions={name: version(name) for name in _PACKAGES},
            load=os.getloadavg()[0],
            started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )


def write_results(
    path: Path, rows: Sequence[Row], machine: Machine, *, repeats: int, failed: Sequence[str]
) -> None:
    """Write everything as JSON; sections of an earlier file that were not run again stay, with their machine."""
    entries = [
        {**_plain(row), "missed": row.missed(), "repeats": repeats, "machine": asdict(machine)}
        for row in rows
    ]
    measured = {_section(row.name) for row in rows}
    kept = []
    if path.exists():
        before = json.loads(path.read_text())["rows"]
        kept = [entry for entry in before if _section(entry["name"]) not in measured]
    partial = path.with_suffix(".partial")
    partial.write_text(
        json.dumps({"rows": kept + entries, "failed": list(failed)}, indent=1, allow_nan=False) + "\n"
    )
    partial.replace(path)


def print_table(rows: Sequence[Row]) -> None:
    """Print ours beside the peers', the limit, the ratio and the target of each."""
    table = Table("", "ours", "target", "met", "peers", "times better", "limit")
    for row in rows:
        missed = row.missed()
        has_target = row.target is not None or bool(row.ratio_targets)
        lacking = ", ".join(
            f"no {name} here" if factor is None else f"{name} by {factor:.3g}x"
            for name, factor in missed.items()
        )
        table.add_row(
            row.name,
            f"{number(row.value)} {row.unit}",
            "" if row.target is None else ("≥ " if row.better == "higher" else "≤ ") + number(row.target),
            ("yes" if has_target else "") if not missed else f"no: {lacking}",
            "\n".join(f"{name} {number(value)}" for name, value in row.peers.items()),
            "\n".join(f"{name} {value:.1f}" for name, value in row.ratios.items()),
            "" if row.limit is None else number(row.limit),
        )
    Console(width=150).print(table)


def number(value: float) -> str:
    """Return a number with three digits that count, and thousands set apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _section(name: str) -> str:
    return name.partition(":")[0]


def _plain(row: Row) -> dict[str, object]:
    return {
        name: dict(value) if name in ("peers", "ratios", "ratio_targets") else value
        for name, value in ((name, getattr(row, name)) for name in Row.__slots__)
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
