"""A job's folder: what its process reads and leaves, in files that hold data only (JSON, safetensors).

request.json  data.safetensors  models/<id>/  ->  answer.json  out/<id>/  log.txt
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from cs3g.files import write_whole
from cs3g.jobs.errors import JobError
from cs3g.jobs.spec import JobAnswer, JobSpec
from topics.runs import GraphRun

__all__ = ["Spool", "graph_bytes", "graphs_sha256"]

T = TypeVar("T")

_ARRAYS: Final = (
    "instrument_ids",
    "sector",
    "ts_close",
    "mask",
    "features",
    "close",
    "neighbors",
    "neighbor_weights",
)


class Spool:
    """The files of one job below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def out(self) -> Path:
        """Where the process saves the model."""
        return self.folder / "out"

    @property
    def log(self) -> Path:
        """What the process writes to stderr."""
        return self.folder / "log.txt"

    def model(self, model_id: str) -> Path:
        """Return an artifact's folder."""
        return self.folder / "models" / model_id

    def write(self, spec: JobSpec, data: bytes, models: Mapping[str, Path]) -> None:
        """Fill the folder; what an earlier attempt left there is removed first.

        Parameters
        ----------
        data
            `graph_bytes` of the history.
        models
            Folders of the artifacts by id.

        Raises
        ------
        OSError
            If the disk is full or may not be written to.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        write_whole(self.folder / "data.safetensors", lambda path: path.write_bytes(data))
        for model_id, source in models.items():
            shutil.copytree(source, self.model(model_id))
        encoded = msgspec.json.encode(spec)
        write_whole(self.folder / "request.json", lambda path: path.write_bytes(encoded))

    def clear_answer(self) -> None:
        """Remove what an attempt that failed has left, before another one."""
        shutil.rmtree(self.out, ignore_errors=True)
        (self.folder / "answer.json").unlink(missing_ok=True)

    def spec(self) -> JobSpec:
        """Read the job.

        Raises
        ------
        JobError
            If it is no such file.
        """
        return _read(self.folder / "request.json", JobSpec)

    def graphs(self) -> GraphRun:
        """Read the history.

        Raises
        ------
        JobError
            If it is no such file.
        """
        path = self.folder / "data.safetensors"
        try:
            with safe_open(path, framework="numpy") as file:
                meta = json.loads(file.metadata()["graphs"])
                arrays: dict[str, NDArray[np.generic]] = {name: file.get_tensor(name) for name in _ARRAYS}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise JobError(f"{path} is no history of a job: {error}") from error
        return GraphRun(
            universe=meta["universe"],
            seq=0,
            size_ns=meta["size_ns"],
            symbols=tuple(meta["symbols"]),
            relations=tuple((name, width) for name, width in meta["relations"]),
            feature_names=tuple(meta["feature_names"]),
            **arrays,  # type: ignore[arg-type]  # the writer below decides the dtypes
        )

    def write_answer(self, answer: JobAnswer) -> None:
        """Leave the process's answer, whole or not at all."""
        encoded = msgspec.json.encode(answer)
        write_whole(self.folder / "answer.json", lambda path: path.write_bytes(encoded))

    def answer(self) -> JobAnswer | None:
        """Return the process's answer, None if it left none.

        Raises
        ------
        JobError
            If it is no such file.
        """
        path = self.folder / "answer.json"
        return _read(path, JobAnswer) if path.is_file() else None


def graph_bytes(run: GraphRun) -> bytes:
    """Return a history as the bytes that are handed over and digested; where it lay in a topic does not count."""
    run = replace(run, seq=0)
    meta = {
        "universe": run.universe,
        "size_ns": run.size_ns,
        "symbols": run.symbols,
        "relations": run.relations,
        "feature_names": run.feature_names,
    }
    arrays = {name: np.ascontiguousarray(getattr(run, name)) for name in _ARRAYS}
    return bytes(save(arrays, metadata={"graphs": json.dumps(meta, sort_keys=True)}))


def graphs_sha256(data: bytes) -> str:
    """Return the digest of a history's bytes."""
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise JobError(f"{path} cannot be used: {error}") from error
