"""How far a recording is: messages and rows beside the bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import TextColumn

from replay.archive.record import Recorded
from replay.progress_bar import ProgressBar


class RecordProgress(ProgressBar):
    """Shows what `record_topics` reports; pass `update` as its `on_progress`. Mutates self."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            TextColumn("{task.completed:,} messages, {task.fields[rows]:,} rows written"),
            description="archive",
            rows=0,
        )

    def update(self, recorded: Recorded) -> None:
        """Show how far it is."""
        total = recorded.messages + recorded.left
        self.show(total=total, completed=recorded.messages, rows=recorded.rows)
