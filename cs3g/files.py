"""Writing result files so that nobody ever reads half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON with sorted keys, so that equal values are equal bytes."""
    text = json_text(value)
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def json_text(value: Any) -> str:
    """Return a value as JSON with sorted keys and a line's end; a number that is not finite is refused."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
