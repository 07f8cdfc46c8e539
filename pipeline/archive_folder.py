"""A folder of Parquet files that is whole at any moment: what its manifest lists is in it, nothing else counts.

A commit writes its files first and then replaces the manifest, so a process that is killed leaves either the
state before or the state after, offsets included; files that no manifest lists are what it had begun.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal, Self

import msgspec

from pipeline.errors import ArchiveError

MANIFEST: Final = "archive.json"
_LOCK: Final = ".archive.lock"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of an archive.

    Attributes
    ----------
    path
        Below the archive's folder, with forward slashes.
    topic
        The topic's short name, as in `topics.specs.SPECS`.
    schema
        Schema of the messages.
    rows
        Rows of the table.
    n_bytes, sha256
        Of the file.
    ts_first, ts_last
        ns, smallest and largest time of its rows.
    partition, first_offset, last_offset
        Where the rows come from; -1 where they come from no topic.
    universe
        Of windows, graphs and predictions; else empty.
    """

    path: str
    topic: str
    schema: str
    rows: int
    n_bytes: int
    sha256: str
    ts_first: int
    ts_last: int
    partition: int = -1
    first_offset: int = -1
    last_offset: int = -1
    universe: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds.

    Attributes
    ----------
    prefix
        Of the topics that were read; empty for live ones, or where there was no topic.
    next_offsets
        By topic, and partition as text: the offset from which to go on.
    parts
        In the order in which they were committed.
    digest
        `sha256:<hex>` over the paths and digests of the parts.
    """

    format: Literal["cs3g-archive"] = "cs3g-archive"
    version: Literal[1] = 1
    prefix: str = ""
    next_offsets: dict[str, dict[str, int]] = {}
    parts: tuple[Part, ...] = ()
    digest: str = ""

    def of_topic(self, topic: str) -> tuple[Part, ...]:
        """Return a topic's parts, in the order in which they were committed."""
        return tuple(part for part in self.parts if part.topic == topic)


@dataclass(frozen=True, slots=True)
class PartLabel:
    """What a part is called and where its rows come from; fields as in `Part`."""

    path: str
    topic: str
    schema: str
    ts_first: int
    ts_last: int
    partition: int = -1
    first_offset: int = -1
    last_offset: int = -1
    universe: str = ""


def read_manifest(root: Path) -> Manifest:
    """Return what an archive holds, after a look that every part is there in its full length.

    Raises
    ------
    ArchiveError
        There is no archive at `root`, its manifest is damaged, or a part is missing or cut short.
    """
    manifest = _read_manifest(root)
    for part in manifest.parts:
        try:
            n_bytes = (root / part.path).stat().st_size
        except OSError as error:
            raise ArchiveError(
                f"{root}: the archive's part {part.path} is missing: copy the whole folder"
            ) from error
        if n_bytes != part.n_bytes:
            raise ArchiveError(
                f"{root}: the archive's part {part.path} has {n_bytes} bytes, its manifest says"
                f" {part.n_bytes}: it is half-written or damaged; copy it again"
            )
    return manifest


def is_archive(root: Path) -> bool:
    """Return whether a folder has an archive's manifest."""
    return (root / MANIFEST).is_file()


def verify(root: Path, part: Part) -> Path:
    """Return a part's file once its SHA-256 is seen to be the manifest's.

    Raises
    ------
    ArchiveError
        The file cannot be read, or is another than the one that was written.
    """
    path = root / part.path
    try:
        found = file_sha256(path)
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}: copy the whole folder") from error
    if found != part.sha256:
        raise ArchiveError(
            f"{path}: its SHA-256 is {found[:12]}…, the manifest says {part.sha256[:12]}…: damaged"
        )
    return path


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        self._staged.append(
            Part(
                path=label.path,
                topic=label.topic,
                schema=label.schema,
                rows=rows,
                n_bytes=n_bytes,
                sha256=digest,
                ts_first=label.ts_first,
                ts_last=label.ts_last,
                partition=label.partition,
                first_offset=label.first_offset,
                last_offset=label.last_offset,
                universe=label.universe,
            )
        )

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
        manifest = Manifest(prefix=self._prefix, next_offsets=offsets, parts=parts, digest=_digest_of(parts))
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


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Replace an archive's manifest, durably."""
    temporary = root / f".{MANIFEST}.tmp"
    with temporary.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, root / MANIFEST)


def _read_manifest(root: Path) -> Manifest:
    path = root / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArchiveError(
            f"{root}: is no archive: it has no {MANIFEST}; `cs3g archive` makes one"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(
            f"{path}: is no manifest of an archive that this release reads: {error}"
        ) from error
    if manifest.digest != _digest_of(manifest.parts):
        raise ArchiveError(f"{path}: its digest is not that of its parts: it was changed by hand")
    return manifest


def _digest_of(parts: Sequence[Part]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.path}\0{part.sha256}\n".encode())
    return f"sha256:{digest.hexdigest()}"


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
