"""A line that says how far a recording is; silent where nobody looks."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from replay.archive.record import Recorded


class RecordProgress:
    """Shows what `record_topics` reports; pass `update` as its `on_progress`. Mutates self.

    Parameters
    ----------
    console
        Where to draw; nothing is drawn unless it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            TextColumn("archive"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:,} messages, {task.fields[rows]:,} rows written"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("archive", total=None, rows=0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, recorded: Recorded) -> None:
        """Show how far it is."""
        total = recorded.messages + recorded.left
        self._bar.update(self._task, total=total, completed=recorded.messages, rows=recorded.rows)
