"""What a run shows while it works: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from topics.runs import PredictionRun
from topics.types import NANOS_PER_DAY, NANOS_PER_SECOND, Role

PLAIN_INTERVAL_S: Final = 2.0
N_SHOWN: Final = 5


@dataclass(slots=True)
class RoleProgress:
    """How far one model's predictions have come."""

    windows: int = 0
    predictions: int = 0
    last: PredictionRun | None = None
    latencies_ms: list[float] = field(default_factory=list)

    def add(self, run: PredictionRun, latency_ms: float | None) -> None:
        """Count a run of predictions."""
        self.windows += len(run.ts_close)
        self.predictions += int(run.mask.sum())
        self.last = run
        if latency_ms is not None:
            self.latencies_ms.append(latency_ms)


class LiveView:
    """Table of the models' progress, drawn from `roles`; a context manager.

    Parameters
    ----------
    console
        Where to draw.
    roles
        Progress by role, updated by whoever reads the predictions.
    """

    def __init__(self, console: Console, roles: dict[Role, RoleProgress]) -> None:
        self._console = console
        self._roles = roles
        self._started = time.monotonic()
        self._printed = 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.status = ""

    def refresh(self) -> None:
        """Draw the current state."""
        now = time.monotonic()
        if self._live is not None:
            self._live.update(self._table(now), refresh=True)
        elif now - self._printed >= PLAIN_INTERVAL_S:
            self._printed = now
            self._console.print(self._line(now), markup=False, highlight=False)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self.refresh()
            self._live.stop()

    def _rate(self, progress: RoleProgress, now: float) -> float:
        return progress.windows / max(now - self._started, 1e-9)

    def _line(self, now: float) -> str:
        parts = [
            f"{role}: {progress.windows} windows to {window_name(progress.last)}"
            f" ({self._rate(progress, now):.0f}/s)"
            for role, progress in self._roles.items()
        ]
        return " | ".join([part for part in (self.status, *parts) if part])

    def _table(self, now: float) -> Table:
        table = Table(title=self.status or None, title_justify="left")
        for name in (
            "model",
            "window",
            "windows",
            "per s",
            "predictions",
            "latency p50",
            "highest",
            "lowest",
        ):
            table.add_column(name, justify="left" if name in ("model", "highest", "lowest") else "right")
        for role, progress in self._roles.items():
            highest, lowest = extremes(progress.last)
            table.add_row(
                role,
                window_name(progress.last),
                f"{progress.windows:,}",
                f"{self._rate(progress, now):,.0f}",
                f"{progress.predictions:,}",
                f"{np.median(progress.latencies_ms):,.0f} ms" if progress.latencies_ms else "-",
                highest,
                lowest,
            )
        return table


def window_name(run: PredictionRun | None) -> str:
    """Return when the run's last window opened: a date for daily windows, else date and time (UTC)."""
    if run is None or not len(run.ts_close):
        return "-"
    ts_open_ns = int(run.ts_close[-1]) - run.size_ns
    opened = datetime.fromtimestamp(ts_open_ns / NANOS_PER_SECOND, UTC)
    return opened.strftime("%Y-%m-%d" if run.size_ns % NANOS_PER_DAY == 0 else "%Y-%m-%d %H:%M:%S")


def extremes(run: PredictionRun | None) -> tuple[str, str]:
    """Return the symbols that the run's last window ranks highest and lowest."""
    if run is None or not len(run.ts_close):
        return "-", "-"
    ranks = run.ranks[-1]
    present = np.flatnonzero(run.mask[-1])
    order = present[np.argsort(ranks[present], kind="stable")]
    symbols = [run.symbols[position] for position in order]
    shown = min(N_SHOWN, max(1, len(symbols) // 2))
    return " ".join(symbols[:shown]), " ".join(symbols[-shown:])
