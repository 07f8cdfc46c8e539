"""A progress bar on a terminal's last line; nothing at all where nobody looks."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


class ProgressBar:
    """A bar with one task, gone when it ends; a context manager. Mutates self.

    Parameters
    ----------
    console
        Where to draw; nothing is drawn unless it is a terminal.
    columns
        Between the share done and the time left.
    description
        What is going on.
    fields
        First values of what the columns show.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, description: str, **fields: Any) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            *columns,
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(description, total=None, **fields)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began, 0 before."""
        return self._bar.tasks[0].elapsed or 0.0

    def show(self, **values: Any) -> None:
        """Show new values: of the columns, or of `description`, `total` and `completed`."""
        self._bar.update(self._task, **values)
