"""Stands in for `cs3g.jobs.process` where a test must not wait for training: it speaks the same files and lines.

What it does follows from the seed of the request. It imports nothing that takes long.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from cs3g_model.artifacts import load_artifact, save_artifact

GOOD, BAD, HANGS, CRASHES_ONCE, CRASHES, STUBBORN, SLOW = range(7)


def say(progress: float, detail: str) -> None:
    os.write(1, json.dumps({"progress": progress, "detail": detail}).encode() + b"\n")


def answer(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Save the incumbent's weights under a manifest of their own."""
    incumbent = load_artifact(folder / "models" / spec["incumbent_id"])
    made = save_artifact(
        folder / "out",
        incumbent.manifest.model_config(),
        incumbent.tensors,
        parent_id=spec["teacher_id"],
        seed=spec["seed"],
        data_sha256={spec["dataset_id"]: spec["data_sha256"]},
    )
    is_good = spec["seed"] != BAD
    verdict = {
        "windows": 30,
        "candidate": 0.05,
        "incumbent": 0.04,
        "difference": 0.01,
        "low": 0.0 if is_good else -0.1,
        "p_value": 0.01 if is_good else 0.5,
        "margin": spec["margin"],
        "non_inferior": is_good,
    }
    return {"model_id": made.name, "verdict": verdict, "metrics": {"rank_ic": 0.05}}


def main(folder: Path) -> None:
    spec = json.loads((folder / "request.json").read_bytes())
    seed = spec["seed"]
    say(0.5, "half done")
    os.write(1, b"not an event\n")
    if seed == STUBBORN:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(0.6, "ignores SIGTERM")
    if seed in (HANGS, STUBBORN):
        time.sleep(600)
    if seed == SLOW:
        time.sleep(1.5)
    mark = folder.with_name(f"{folder.name}.crashed")
    if seed == CRASHES or (seed == CRASHES_ONCE and not mark.exists()):
        mark.touch()
        os.write(2, b"out of luck\n")
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "answer.json").write_text(json.dumps(answer(folder, spec)))
    say(1.0, "done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
