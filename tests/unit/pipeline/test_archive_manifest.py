"""A manifest is believed only as far as the folder bears it out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.archive_folder import ArchiveFolder
from pipeline.archive_manifest import MANIFEST, PartLabel, is_archive, read_manifest, verify, write_manifest
from pipeline.errors import ArchiveError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    label = PartLabel(path="ticks/one.parquet", topic="ticks", schema="trades", ts_first=1, ts_last=2)
    with ArchiveFolder(tmp_path / "a") as archive:
        archive.stage(label, 1, lambda path: path.write_text("rows"))
        archive.commit()
    return tmp_path / "a"


def test_a_part_is_what_its_label_said_and_what_its_file_is(root: Path) -> None:
    (part,) = read_manifest(root).of_topic("ticks")
    assert (part.path, part.schema, part.ts_last, part.partition) == ("ticks/one.parquet", "trades", 2, -1)
    assert (part.rows, part.n_bytes) == (1, len("rows"))
    assert verify(root, part).read_text() == "rows"
    assert read_manifest(root).of_topic("graphs") == ()


def test_a_part_that_is_missing_or_cut_short_is_named(root: Path) -> None:
    path = root / "ticks" / "one.parquet"
    path.write_text("row")
    with pytest.raises(ArchiveError, match=r"one\.parquet has 3 bytes, its manifest says 4"):
        read_manifest(root)
    path.unlink()
    with pytest.raises(ArchiveError, match=r"one\.parquet is missing"):
        read_manifest(root)


def test_a_part_of_the_same_length_but_other_bytes_is_not_handed_out(root: Path) -> None:
    (part,) = read_manifest(root).parts
    (root / part.path).write_text("sowr")
    with pytest.raises(ArchiveError, match="the manifest says"):
        verify(root, part)


def test_a_manifest_that_was_changed_or_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    manifest = read_manifest(root)
    part = msgspec.structs.replace(manifest.parts[0], sha256="0" * 64)
    write_manifest(root, msgspec.structs.replace(manifest, parts=(part,)))
    with pytest.raises(ArchiveError, match="changed by hand"):
        read_manifest(root)
    (root / MANIFEST).write_text("{}[")
    with pytest.raises(ArchiveError, match="no manifest of an archive"):
        read_manifest(root)
    with pytest.raises(ArchiveError, match=r"has no archive\.json"):
        read_manifest(tmp_path)
    assert (is_archive(root), is_archive(tmp_path)) == (True, False)
