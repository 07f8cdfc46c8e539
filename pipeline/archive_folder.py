"""A folder of Parquet files that is whole at any moment: what its manifest lists is in it, nothing else counts.

A commit writes its files first and then replaces the manifest, so a process that is killed leaves either the
state before or the state after, offsets included; files that no manifest lists are what it had begun.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, Self

import msgspec

from pipeline.archive_manifest import (
    MANIFEST,
    Manifest,
    Part,
    PartLabel,
    digest_of,
    is_archive,
    read_manifest,
    write_manifest,
)
from pipeline.errors import ArchiveError

_LOCK: Final = ".archive.lock"


class ArchiveFolder:
    """An archive that this process alone writes to; use it as `with`. Mutates self.

    Parameters
    ----------
    root
        A folder that does not exist, is empty, or holds an archive to go on with.
    prefix
        Of the topics to be read.

    Raises
    ------
    ArchiveError
        The folder holds something else, an archive of another prefix, or another process writes to it.
    """

    def __init__(self, root: Path, prefix: str = "") -> None:
        self.root = root
        self._prefix = prefix
        self._manifest = Manifest(prefix=prefix)
        self._staged: list[Part] = []
        self._lock: IO[bytes] | None = None

    @property
    def manifest(self) -> Manifest:
        """What is committed."""
        return self._manifest

    def __enter__(self) -> Self:
        """Lock the folder, and remove what a killed process had begun."""
        root = self.root
        if root.exists() and not root.is_dir():
            raise ArchiveError(f"{root}: is a file; name a folder for the archive")
        strange = [] if is_archive(root) or not root.exists() else _strange(root)
        if strange:
            raise ArchiveError(
                f"{root}: holds {strange[0]} but no {MANIFEST}: it is no archive; name a new or empty folder"
            )
        root.mkdir(parents=True, exist_ok=True)
        self._lock = (root / _LOCK).open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ArchiveError(f"{root}: another process is writing to this archive") from error
        try:
            self._begin()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def stage(self, label: PartLabel, rows: int, write: Callable[[Path], object]) -> None:
        """Write a part that the next commit lists.

        Parameters
        ----------
        write
            Writes the file at the path that it is given.
        """
        path = self.root / label.path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        write(temporary)
        with temporary.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
            n_bytes = file.seek(0, os.SEEK_END)
        os.replace(temporary, path)
        self._staged.append(Part(**msgspec.structs.asdict(label), rows=rows, n_bytes=n_bytes, sha256=digest))

    def commit(self, next_offsets: Mapping[str, Mapping[int, int]] | None = None) -> None:
        """List what was staged, and the offsets from which to go on, in one step.

        Parameters
        ----------
        next_offsets
            By topic and partition; those that are not named stay as they are.
        """
        offsets = {topic: dict(of_topic) for topic, of_topic in self._manifest.next_offsets.items()}
        for topic, of_topic in (next_offsets or {}).items():
            offsets.setdefault(topic, {}).update({str(key): value for key, value in of_topic.items()})
        parts = (*self._manifest.parts, *self._staged)
        manifest = Manifest(prefix=self._prefix, next_offsets=offsets, parts=parts, digest=digest_of(parts))
        write_manifest(self.root, manifest)
        self._manifest, self._staged = manifest, []

    def _begin(self) -> None:
        if not is_archive(self.root):
            _remove_unlisted(self.root, frozenset())
            self.commit()
            return
        manifest = read_manifest(self.root)
        if manifest.prefix != self._prefix:
            raise ArchiveError(
                f"{self.root}: is an archive of the topics with prefix {manifest.prefix!r}, not"
                f" {self._prefix!r}: name another folder"
            )
        self._manifest = manifest
        _remove_unlisted(self.root, frozenset(part.path for part in manifest.parts))


def _strange(root: Path) -> list[str]:
    # Beside an archive's own beginnings: its lock, temporary files, parts that no manifest lists yet.
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.name != _LOCK and not path.name.endswith(".tmp")
    )


def _remove_unlisted(root: Path, listed: frozenset[str]) -> None:
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_file() and path.suffix in (".parquet", ".tmp") and name not in listed:
            path.unlink()
