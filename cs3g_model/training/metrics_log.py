"""A fit's progress as JSON lines, for plots and dashboards."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from cs3g_model.training.files import write_whole

__all__ = ["MetricsLog"]


class MetricsLog:
    """Appends a line per event; a fit that resumes drops the lines that it will write again.

    Parameters
    ----------
    path
        The file; None makes a log that writes nothing.
    resumed_at
        Updates that the checkpoint had behind it; 0 begins an empty file.
    """

    def __init__(self, path: Path | None, resumed_at: int = 0) -> None:
        self.path = path
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = "".join(_lines_until(path, resumed_at)) if resumed_at else ""
        write_whole(path, kept.encode())

    def write(self, event: str, **values: float | int | str) -> None:
        """Append {"event": ..., values}; a number that is not finite becomes null."""
        if self.path is None:
            return
        line: dict[str, Any] = {"event": event}
        for name, value in values.items():
            line[name] = None if isinstance(value, float) and not math.isfinite(value) else value
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")


def _lines_until(path: Path, update: int) -> list[str]:
    if not path.is_file():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            value = json.loads(line)
        except ValueError:  # torn by the kill
            break
        if value.get("update", 0) > update:
            break
        kept.append(line)
    return kept
