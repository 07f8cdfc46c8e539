"""How a job's process is started: alone, under torchrun, or on a Ray cluster; files and lines are the same."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Literal, get_args

import msgspec

from cs3g.jobs.errors import JobError

__all__ = ["Engine", "EngineConfig", "engine_command"]

Engine = Literal["process", "torchrun", "ray"]


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where jobs run.

    Attributes
    ----------
    name
        `process`: one process of this machine. `torchrun`: several, which share the fit. `ray`: a worker of a Ray
        cluster.
    processes
        Of torchrun (>= 1). Their number is a part of what decides the weights; one gives those of `process`.
    ray_address
        Of the cluster, such as `auto` or `ray://head:10001`; None starts Ray on this machine.
    """

    name: Engine = "process"
    processes: int = 1
    ray_address: str | None = None

    def check(self) -> None:
        """Refuse what cannot start.

        Raises
        ------
        JobError
            If Ray is asked for and not installed, or the name or number is out of range.
        """
        if self.name not in get_args(Engine):
            raise JobError(f"`engine` (={self.name!r}) must be one of {', '.join(get_args(Engine))}")
        if self.processes < 1:
            raise JobError(f"`processes` (={self.processes}) must be at least 1")
        if self.name == "ray" and importlib.util.find_spec("ray") is None:
            raise JobError("`--engine ray` needs Ray: pip install 'cs3g[ray]'")


def engine_command(engine: EngineConfig, folder: Path) -> list[str]:
    """Return the command that does the job of a folder.

    Raises
    ------
    JobError
        As of `EngineConfig.check`.
    """
    engine.check()
    if engine.name == "torchrun":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        return [*torchrun, f"--nproc-per-node={engine.processes}", "-m", "cs3g.jobs.process", str(folder)]
    if engine.name == "ray":
        address = [] if engine.ray_address is None else [engine.ray_address]
        return [sys.executable, "-m", "cs3g.jobs.on_ray", str(folder), *address]
    return [sys.executable, "-m", "cs3g.jobs.process", str(folder)]
