"""How `cs3g compress` shows where it stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from cs3g.fitting import progress_bar
from cs3g_model.compression.compress import OnTrial
from cs3g_model.training.options import OnProgress

__all__ = ["BarReporter"]


class BarReporter:
    """Bars with the remaining time; plain lines where there is no terminal."""

    def fitting(self, title: str) -> AbstractContextManager[OnProgress]:
        """Show a fit."""
        return progress_bar(title)

    @contextmanager
    def trying(self, title: str) -> Iterator[OnTrial]:
        """Show trials."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        began_s = time.monotonic()
        with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(title, total=None)

            def update(done: int, total: int) -> None:
                bar.update(task, total=total, completed=done)
                if not console.is_terminal and (done % 20 == 0 or done == total):
                    left_s = (time.monotonic() - began_s) / done * (total - done)
                    console.print(f"{title}: {done}/{total} trials, {left_s:.0f} s left")

            yield update
