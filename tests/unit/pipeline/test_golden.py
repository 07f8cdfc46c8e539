"""The golden day: no result changes unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.golden.pipeline_golden import SNAPSHOTS_FILE, WINDOWS_FILE, snapshot_lines, window_lines


@pytest.mark.parametrize(("path", "lines"), [(WINDOWS_FILE, window_lines), (SNAPSHOTS_FILE, snapshot_lines)])
def test_results_are_the_reviewed_ones(path: Path, lines: Callable[[], Iterator[str]]) -> None:
    assert list(lines()) == path.read_text().splitlines()
