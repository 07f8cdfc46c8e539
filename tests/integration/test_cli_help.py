"""Every command's help: there, with an example, and quick because nothing heavy is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import typer

from cs3g.cli import app

HEAVY = (
    "aiokafka", "asyncio", "faust", "matplotlib", "numba", "numpy", "polars", "pyarrow", "rich", "scipy", "torch",
)  # fmt: skip

# One process for all commands: what an earlier help had imported, a later one would show as well.
SCRIPT = """
import contextlib, io, json, sys
from cs3g.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv, out = ["cs3g", *line.split(), "--help"], io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    print(json.dumps([line, status, out.getvalue(), sorted(sys.modules)]))
"""


def command_lines(command: Any, words: tuple[str, ...] = ()) -> list[tuple[str, bool]]:
    """Return every command's words, and whether it is a group."""
    children = getattr(command, "commands", {})
    lines = [(" ".join(words), bool(children))]
    for name, child in children.items():
        lines += command_lines(child, (*words, name))
    return lines


LINES = command_lines(typer.main.get_command(app))


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[int | None, str, list[str]]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(line for line, _ in LINES) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    return {line: (status, text, modules) for line, status, text, modules in rows}


def test_all_commands_were_found() -> None:
    top = {line for line, _ in LINES if line and " " not in line}
    assert top >= {"demo", "worker", "replay", "doctor", "topics", "broker", "predictions", "models", "train"}
    assert "predictions tail" in dict(LINES)


@pytest.mark.parametrize(("line", "is_group"), LINES)
def test_help_is_there_with_an_example_and_imports_nothing_heavy(
    helps: dict[str, tuple[int | None, str, list[str]]], line: str, is_group: bool
) -> None:
    status, text, modules = helps[line]
    assert status in (0, None)
    assert "Usage: " in text
    assert "--help" in text
    assert is_group or "Example: cs3g" in text
    assert {module.partition(".")[0] for module in modules} & {*HEAVY} == set()
