"""Fits in processes of their own: several that fit together under torchrun, and one that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cs3g.commands import train
from cs3g_model.artifacts import load_artifact
from cs3g_model.training.options import RunOptions
from tests.integration.small_panel import write_panel
from tests.unit.cs3g_model.training.fits import Killed, assert_same_fit, small_fit

ROOT = Path(__file__).parents[2]

TOGETHER = """
import hashlib, json, math, sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from cs3g_model.errors import CheckpointError, TrainingError
from cs3g_model.training.loop import train
from cs3g_model.training.options import RunOptions
from cs3g_model.training.ranks import block_of, joined, split_by_seed
from tests.unit.cs3g_model.training.fits import Killed, small_fit

out = Path(sys.argv[1])

def digest(result):
    h = hashlib.sha256()
    for name, tensor in sorted(result.tensors.items()):
        h.update(name.encode() + tensor.tobytes())
    return h.hexdigest()

with joined(cuda=False) as ranks:
    told = {"rank": ranks.rank, "block": list(block_of(5, ranks))}

    # Gradients: averaged over who takes part; None where nobody has one.
    a, b, c = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    a.grad = torch.full((2,), 1.0 + 2 * ranks.rank)
    b.grad = torch.ones(2) if ranks.rank == 1 else None
    told["rows"] = ranks.average_gradients([a, b, c], torch.tensor([10.0 + ranks.rank]), True).tolist()
    told["both"] = [a.grad.tolist(), b.grad.tolist(), c.grad]
    a.grad = torch.full((2,), 4.0) if ranks.rank == 0 else None
    ranks.average_gradients([a], torch.zeros(1), ranks.rank == 0)
    told["one"] = a.grad.tolist()
    told["json"] = ranks.gather_json({"rank": ranks.rank, "text": "x" * (1 + 50 * ranks.rank)})

    alone, seeds = split_by_seed(ranks, [7, 8, 9])
    told["seeds"] = [alone.size, seeds]
    group, seeds = split_by_seed(ranks, [7])
    told["shared"] = [group.size, group.rank, seeds]

    undisturbed = small_fit(RunOptions(ranks=ranks, metrics=out / "fit.jsonl", metrics_every=1))
    told["fit"] = digest(undisturbed)
    told["losses"] = undisturbed.losses
    told["valid"] = undisturbed.valid_rank_ics
    told["again"] = digest(small_fit(RunOptions(ranks=ranks)))

    kept = RunOptions(ranks=ranks, checkpoint=out / "kept", resume=True, checkpoint_every_s=0.0)
    try:
        small_fit(kept, killed_at=4)
    except Killed:
        pass
    ranks.barrier()  # each rank removes its own old file
    told["files"] = sorted(path.name for path in (out / "kept").iterdir())
    ranks.barrier()
    told["resumed"] = digest(small_fit(kept))
    try:
        small_fit(replace(kept, ranks=type(ranks)(ranks.rank)))
    except CheckpointError as error:
        told["alone"] = str(error)
(out / f"told-{told['rank']}.json").write_text(json.dumps(told))
"""

KILLED = """
import os, signal, sys
from pathlib import Path
from cs3g_model.training.loop import train
from cs3g_model.training.options import RunOptions
from tests.unit.cs3g_model.training.fits import SETTINGS, TEACHER, market

def told(progress):
    if progress.epoch == 1 and progress.step == 2:
        os.kill(os.getpid(), signal.SIGKILL)

options = RunOptions(checkpoint=Path(sys.argv[1]), checkpoint_every_s=0.0)
train(TEACHER, market(), SETTINGS, told, options)
"""


def start(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    # gloo finds the others over the loopback device, whatever the machine is called.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def torchrun(*arguments: str | Path) -> str:
    ended = start("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "together.py").write_text(TOGETHER)
    torchrun(folder / "together.py", folder)
    told = [json.loads((folder / f"told-{rank}.json").read_text()) for rank in range(2)]
    lines = [json.loads(line) for line in (folder / "fit.jsonl").read_text().splitlines()]
    return [part | {"lines": lines} for part in told]


def test_gradients_are_averaged_over_those_who_take_part(together: list[dict[str, object]]) -> None:
    for told in together:
        assert told["rows"] == [[10.0], [11.0]]
        assert told["both"] == [[2.0, 2.0], [0.5, 0.5], None]
        assert told["one"] == [4.0, 4.0]
        assert told["json"] == [{"rank": 0, "text": "x"}, {"rank": 1, "text": "x" * 51}]


def test_dates_and_seeds_are_divided(together: list[dict[str, object]]) -> None:
    first, second = together
    assert [first["block"], second["block"]] == [[0, 1], [2, 3, 4]]
    assert [first["seeds"], second["seeds"]] == [[1, [7, 9]], [1, [8]]]
    assert [first["shared"], second["shared"]] == [[2, 0, [7]], [2, 1, [7]]]


def test_ranks_end_with_the_same_weights_and_repeat_them(together: list[dict[str, object]]) -> None:
    first, second = together
    assert first["fit"] == second["fit"] == first["again"] == second["again"]
    assert first["losses"] == second["losses"]
    assert first["valid"] == second["valid"]
    # Another number of ranks makes other updates, but a fit like it.
    alone = small_fit()
    assert first["losses"] != alone.losses
    assert first["losses"][-1] == pytest.approx(alone.losses[-1], rel=0.2)  # type: ignore[index]


def test_an_epoch_takes_as_many_updates_as_the_longest_block(together: list[dict[str, object]]) -> None:
    lines = together[0]["lines"]
    assert [(line["epoch"], line["step"]) for line in lines] == [  # type: ignore[attr-defined]
        (epoch, step) for epoch in range(2) for step in (1, 2, 3)
    ]


def test_ranks_resume_together(together: list[dict[str, object]]) -> None:
    for told in together:
        assert told["files"] == ["fit.json", "rank0-4.safetensors", "rank1-4.safetensors"]
        assert told["resumed"] == told["fit"]
        assert "number of ranks" in str(told["alone"])


def test_the_command_gives_each_process_its_seeds(tmp_path: Path) -> None:
    options = write_panel(tmp_path)
    out = tmp_path / "models"
    lines = torchrun(
        "-m", "cs3g", "train", "student", *options, "--seeds", "4,5,6", "--out", out
    ).splitlines()
    assert [load_artifact(Path(line)).manifest.seed for line in lines[:3]] == [4, 5, 6]
    assert lines[3:] == [str(out / "student-seeds.json")]
    spread = json.loads((out / "student-seeds.json").read_text())

    app = typer.Typer()
    app.add_typer(train.app, name="train")
    arguments = ["train", "student", *options, "--seeds", "4,5,6", "--out", str(tmp_path / "one")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    alone = json.loads((tmp_path / "one" / "student-seeds.json").read_text())
    assert alone["valid_rank_ic"] == spread["valid_rank_ic"]


def test_a_process_that_the_system_kills_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    ended = start("-c", KILLED, tmp_path)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (tmp_path / "rank0-7.safetensors").is_file()
    resumed = RunOptions(checkpoint=tmp_path, resume=True)
    with pytest.raises(Killed):
        small_fit(resumed, killed_at=2)
    assert_same_fit(small_fit(resumed), small_fit())
