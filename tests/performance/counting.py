"""What a piece of work costs, counted rather than timed: the same on any machine, however busy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def n_calls(work: Callable[[], object]) -> int:
    """Return how many functions, of Python and of C, are called; what was compiled by numba counts as one."""
    work()  # compiles, and fills what is cached
    count = 0

    def note(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
