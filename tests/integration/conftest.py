"""Fixtures of the integration tests."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest

from cs3g.cli import main
from tests.integration.command_line import Run


@pytest.fixture
def cs3g(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command in this process; what `main` would print as a traceback fails the test."""
    on_terminate = signal.getsignal(signal.SIGTERM)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cs3g", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        status = ended.value.code
        assert status is None or isinstance(status, int)
        return status or 0, out, err

    yield run
    signal.signal(signal.SIGTERM, on_terminate)
