"""Registries for the tests: on a disk, in memory, and where the room runs out."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from cs3g_model.artifacts import save_artifact
from pipeline.registry import Registry
from tests.unit.cs3g_model.factories import SMALL_STUDENT, student_module, tensors_of

KINDS = ("folder", "memory")


def make_registry(kind: str, tmp_path: Path, name: str = "registry") -> Registry:
    url = str(tmp_path / name) if kind == "folder" else f"{kind}://{name}-{uuid4().hex}"
    return Registry(url, cache=tmp_path / "cache", clock=lambda: 1)


def make_student(folder: Path, seed: int = 0) -> Path:
    return save_artifact(folder, SMALL_STUDENT, tensors_of(student_module(seed=seed)))


class FullFileSystem(MemoryFileSystem):
    """An object store with a quota: what goes beyond it is refused, as a disk without room refuses."""

    protocol = "full"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    room: ClassVar[int] = 0

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        used = sum(file.getbuffer().nbytes for file in self.store.values())
        if used + len(value) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().pipe_file(path, value, mode=mode, **kwargs)


fsspec.register_implementation("full", FullFileSystem, clobber=True)
