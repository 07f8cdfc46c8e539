"""Tables on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def print_whole(console: Console, table: Table) -> None:
    """Print a table unbroken, however narrow the console is: a number cut in two is none."""
    for column in table.columns:
        column.no_wrap = True
    wide = console.options.update(width=10_000)
    console.width = max(console.width, Measurement.get(console, wide, table).maximum)
    console.print(table, highlight=False)
