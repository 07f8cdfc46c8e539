"""How far a replay is: event time, ticks and their rate beside the bar."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.progress import TextColumn

from replay.progress_bar import ProgressBar
from replay.report import Progress, event_time_text

_TOTAL: Final = 1.0


class ReplayProgress(ProgressBar):
    """Shows what `run_replay` reports; pass `update` as its `on_progress`. Mutates self."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            TextColumn("{task.fields[event_time]} UTC"),
            TextColumn("{task.fields[ticks]:,} ticks"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            description="replay",
            event_time="-",
            ticks=0,
            rate=0.0,
        )

    def update(self, progress: Progress) -> None:
        """Show where the replay is."""
        elapsed_s = self.elapsed_s
        self.show(
            description=progress.stage,
            total=None if progress.fraction is None else _TOTAL,
            completed=progress.fraction or 0.0,
            event_time=event_time_text(progress.ts_event),
            ticks=progress.ticks,
            rate=progress.ticks / elapsed_s if elapsed_s else 0.0,
        )
