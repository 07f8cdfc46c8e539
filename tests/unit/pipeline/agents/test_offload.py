"""Where numerical work runs: long work beside the event loop, a live window at once."""

from __future__ import annotations

import threading

import pytest

from pipeline.agents.offload import WORTH_CELLS, beside


@pytest.mark.parametrize(
    ("n_windows", "n_cells", "is_beside"),
    [(1, 100 * WORTH_CELLS, False), (2, WORTH_CELLS - 1, False), (2, WORTH_CELLS, True)],
)
async def test_several_windows_go_to_a_thread_and_one_does_not(
    n_windows: int, n_cells: int, is_beside: bool
) -> None:
    thread = await beside(n_windows, n_cells, threading.current_thread)
    assert (thread is not threading.current_thread()) == is_beside


async def test_an_error_comes_back_from_the_thread() -> None:
    with pytest.raises(ZeroDivisionError):
        await beside(2, WORTH_CELLS, divmod, 1, 0)
