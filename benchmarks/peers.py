"""The peers' own virtual environment, so that nothing of theirs comes among ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

PEERS: Final = (
    "bytewax==0.21.1",
    "confluent-kafka",
    "quixstreams==3.28.*",
    "orjson",
    "polars",
    "pyarrow",
    "onnx",
    "onnxruntime==1.32.*",
    "nautilus_trader",
    "databento",
    "pandas",
    "torch==2.13.*",
    "onnxscript",
)


def peers_python(venv: Path) -> Path | None:
    """Return the interpreter of the environment, made or filled where it lacks a peer; None without any.

    What cannot be installed on this machine is named and left out: its rows then lack that peer.
    """
    python = venv / "bin" / "python"
    mark = venv / ".installed"
    wanted = "\n".join(PEERS) + "\n"
    if mark.exists() and mark.read_text() == wanted:
        return python.absolute()
    print(f"making {venv} for the peers; the first time this takes some minutes", flush=True)
    make = [sys.executable, "-m", "venv", str(venv)]
    if not python.exists() and subprocess.run(make, check=False).returncode:
        print("no virtual environment can be made here: ours only")
        return None
    missing = [name for name in PEERS if not _install(python, name)]
    if missing:
        print(f"cannot be installed here and left out: {', '.join(missing)}", flush=True)
    mark.write_text(wanted)
    return python.absolute()


def _install(python: Path, package: str) -> bool:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
