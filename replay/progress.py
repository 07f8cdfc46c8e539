"""A progress bar with event time, rate and time left; silent where nobody looks."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from replay.report import Progress, event_time_text

_TOTAL: Final = 1.0


class ReplayProgress:
    """Shows what `run_replay` reports; pass `update` as its `on_progress`. Mutates self.

    Parameters
    ----------
    console
        Where to draw; nothing is drawn unless it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[event_time]} UTC"),
            TextColumn("{task.fields[ticks]:,} ticks"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("replay", total=None, event_time="-", ticks=0, rate=0.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Show where the replay is."""
        task = self._bar.tasks[0]
        elapsed = task.elapsed or 0.0
        self._bar.update(
            self._task,
            description=progress.stage,
            total=None if progress.fraction is None else _TOTAL,
            completed=progress.fraction or 0.0,
            event_time=event_time_text(progress.ts_event),
            ticks=progress.ticks,
            rate=progress.ticks / elapsed if elapsed else 0.0,
        )
