"""Who may import whom (ADR 0001): import-linter's contracts, and the two libraries that stay at a rim."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.repository import ROOT, read_pyproject, source_files

RIMS = {
    "faust": ("pipeline/app.py", "pipeline/worker.py", "pipeline/agents/"),
    "mode": ("pipeline/app.py", "pipeline/worker.py", "pipeline/agents/"),
    # The sink's second file reads where an interrupted replay of the same run had got to.
    "aiokafka": ("topics/", "replay/kafka_sink.py", "replay/sent_tail.py"),
}


def test_import_linter_keeps_every_contract() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    contracts = read_pyproject()["tool"]["importlinter"]["contracts"]
    assert f"Contracts: {len(contracts)} kept, 0 broken." in run.stdout


@pytest.mark.parametrize("library", RIMS)
def test_a_library_stays_at_its_rim(library: str) -> None:
    importers = {
        path.relative_to(ROOT).as_posix() for path in source_files() if library in _imported_packages(path)
    }
    strays = {path for path in importers if not path.startswith(RIMS[library])}
    assert not strays, f"{library} may be imported in {', '.join(RIMS[library])} only"


def test_the_check_sees_imports_inside_functions(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def run():\n    from faust.types import TP\n    import aiokafka.admin as admin\n")
    assert _imported_packages(module) == {"faust", "aiokafka"}


def _imported_packages(path: Path) -> set[str]:
    """Top-level names that a file imports absolutely, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            names.add(node.module.partition(".")[0])
    return names
