"""Long numerical work in a thread, so that the stages of a worker share the cores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

WORTH_CELLS: Final = 1024
"""Windows x instruments that take some ten times as long as the way to a thread and back."""


async def beside(
    n_windows: int,
    n_cells: int,
    function: Callable[Parameters, Result],
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Result:
    """Return `function(*args, **kwargs)`, from a thread where several windows make it worth that.

    One window is work for live markets, whose latency the way to a thread would only add to.
    """
    if n_windows > 1 and n_cells >= WORTH_CELLS:
        return await asyncio.to_thread(function, *args, **kwargs)
    return function(*args, **kwargs)
