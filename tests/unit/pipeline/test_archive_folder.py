"""Archive folders: commits are all or nothing, one writer at a time, and foreign folders stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.archive_folder import ArchiveFolder
from pipeline.archive_manifest import PartLabel, read_manifest
from pipeline.errors import ArchiveError


def stage(archive: ArchiveFolder, name: str, text: str = "rows") -> None:
    label = PartLabel(path=f"ticks/{name}.parquet", topic="ticks", schema="trades", ts_first=1, ts_last=2)
    archive.stage(label, 1, lambda path: path.write_text(text))


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.name != ".archive.lock")


def test_what_was_not_committed_is_gone_and_begun_anew(tmp_path: Path) -> None:
    root = tmp_path / "a"
    with ArchiveFolder(root, "p.") as archive:
        stage(archive, "one")
        archive.commit({"ticks": {0: 5, 1: 7}})
        stage(archive, "two")
        (root / "ticks" / ".three.parquet.tmp").write_text("half")
        # Killed here: the lock goes with the process, the files stay.
    assert names(root) == [
        ".three.parquet.tmp",
        "archive.json",
        "one.parquet",
        "two.parquet",
    ]
    assert [part.path for part in read_manifest(root).parts] == ["ticks/one.parquet"]
    with ArchiveFolder(root, "p.") as archive:
        assert archive.manifest.next_offsets == {"ticks": {"0": 5, "1": 7}}
        assert names(root) == ["archive.json", "one.parquet"]
        stage(archive, "two", "again")
        archive.commit({"ticks": {1: 9}})
    manifest = read_manifest(root)
    assert manifest.next_offsets == {"ticks": {"0": 5, "1": 9}}
    assert [part.path for part in manifest.parts] == ["ticks/one.parquet", "ticks/two.parquet"]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with ArchiveFolder(tmp_path / "a"), pytest.raises(ArchiveError, match="another process"):
        ArchiveFolder(tmp_path / "a").__enter__()
    with ArchiveFolder(tmp_path / "a"):
        pass


def test_another_prefix_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    with ArchiveFolder(tmp_path / "a", "one."):
        pass
    with pytest.raises(ArchiveError, match=r"prefix 'one\.', not 'two\.'"):
        ArchiveFolder(tmp_path / "a", "two.").__enter__()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "precious.parquet").write_text("data")
    with pytest.raises(ArchiveError, match=r"precious\.parquet but no archive\.json"):
        ArchiveFolder(foreign).__enter__()
    assert names(foreign) == ["precious.parquet"]
    (tmp_path / "file").write_text("data")
    with pytest.raises(ArchiveError, match="is a file"):
        ArchiveFolder(tmp_path / "file").__enter__()
