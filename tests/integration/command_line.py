"""What running the command in a test's own process gives."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
"""The fixture `cs3g`: takes arguments, returns exit status, stdout and stderr."""


def check_line(run: tuple[int, str, str], *words: str, status: int = 1) -> None:
    """Check that a run ended with one line on stderr that holds the words."""
    found, _, err = run
    assert found == status
    assert err.startswith("cs3g: error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
