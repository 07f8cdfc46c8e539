"""The manifest of an archive folder: which Parquet files are in it, and from which offsets to go on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from pipeline.errors import ArchiveError

MANIFEST: Final = "archive.json"


class PartLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is called and where its rows come from.

    Attributes
    ----------
    path
        Below the archive's folder, with forward slashes.
    topic
        The topic's short name, as in `topics.specs.SPECS`.
    schema
        Schema of the messages.
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
    ts_first: int
    ts_last: int
    partition: int = -1
    first_offset: int = -1
    last_offset: int = -1
    universe: str = ""


class Part(PartLabel, frozen=True, kw_only=True):
    """One Parquet file of an archive.

    Attributes
    ----------
    rows
        Rows of the table.
    n_bytes, sha256
        Of the file.
    """

    rows: int
    n_bytes: int
    sha256: str


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
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}: copy the whole folder") from error
    if found != part.sha256:
        raise ArchiveError(
            f"{path}: its SHA-256 is {found[:12]}…, the manifest says {part.sha256[:12]}…: damaged"
        )
    return path


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Replace an archive's manifest, durably."""
    temporary = root / f".{MANIFEST}.tmp"
    with temporary.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, root / MANIFEST)


def digest_of(parts: Sequence[Part]) -> str:
    """Return `sha256:<hex>` over the paths and digests of parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.path}\0{part.sha256}\n".encode())
    return f"sha256:{digest.hexdigest()}"


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
    if manifest.digest != digest_of(manifest.parts):
        raise ArchiveError(f"{path}: its digest is not that of its parts: it was changed by hand")
    return manifest
