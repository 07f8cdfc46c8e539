"""Graph archives: bit for bit there and back, growing universes, any range, and what damage says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.archive_manifest import MANIFEST, read_manifest
from pipeline.errors import ArchiveError, GraphRunError
from pipeline.graph_archive import (
    gathered,
    graph_run_digest,
    read_graph_archive,
    write_graph_archive,
)
from pipeline.graph_state import GraphState
from pipeline.graphs import build_graphs
from pipeline.offline import join_graph_runs, snapshots_from_ticks, windows_from_ticks
from tests.unit.pipeline.snapshots import CONFIG, DIRECTORY, random_trades
from tests.unit.pipeline.ticks import SIZE
from tests.unit.topics.factories import make_graphs
from topics.cuts import slice_graphs
from topics.runs import GraphRun, TickRun
from topics.types import NANOS_PER_DAY


def growing_runs(windows: int = 6) -> list[GraphRun]:
    """Return runs of so many windows over several days; later instruments appear one after the other."""
    records = random_trades(n=400, instruments=9, seconds=300).records
    day = np.arange(len(records), dtype=np.uint64) // np.uint64(130)
    records["ts_event"] += day * np.uint64(NANOS_PER_DAY)
    records["instrument_id"][records["instrument_id"] > 3 + np.arange(len(records)) // 50] = 1
    closed = windows_from_ticks(
        [(0, TickRun("trades", records))], universe="u", size_ns=CONFIG.size_ns, partitions=1
    )
    rows = np.concatenate([run.rows for run in closed])
    starts = np.flatnonzero(np.diff(rows["ts_close"], prepend=-1))[::windows]
    state, runs = GraphState.initial(CONFIG), []
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        run, state = build_graphs(rows[start:stop], state, DIRECTORY, CONFIG)
        assert run is not None
        runs.append(run)
    return runs


def in_pieces(run: GraphRun, windows: int) -> list[GraphRun]:
    return [slice_graphs(run, t, t + windows) for t in range(0, len(run.ts_close), windows)]


def digest(run: GraphRun) -> str:
    return graph_run_digest(run)


def test_a_round_trip_changes_no_bit(tmp_path: Path) -> None:
    runs = growing_runs()
    whole = join_graph_runs(runs)
    assert len(runs[0].instrument_ids) < len(runs[-1].instrument_ids)
    assert len({str(t) for t in whole.ts_close // NANOS_PER_DAY}) > 2
    manifest = write_graph_archive(tmp_path / "a", runs)
    back = read_graph_archive(tmp_path / "a")
    assert digest(back) == digest(whole)
    assert len(manifest.parts) == len({t // NANOS_PER_DAY for t in (whole.ts_close - 1).tolist()})
    assert {Path(part.path).parts[2][:5] for part in manifest.parts} == {"date="}


def test_extreme_values_and_absent_slots_come_back(tmp_path: Path) -> None:
    run = make_graphs(5, 3, n_features=2, n_neighbors=0)
    features = run.features.copy()
    features[0, 0] = (-0.0, np.finfo(np.float32).tiny / 2)
    run = replace(run, features=features, relations=())
    write_graph_archive(tmp_path / "a", [run])
    assert digest(read_graph_archive(tmp_path / "a")) == digest(run)


def test_daily_windows_share_a_year(tmp_path: Path) -> None:
    run = make_graphs(400, 2, size_ns=NANOS_PER_DAY)
    run = replace(run, ts_close=np.arange(1, 401, dtype=np.int64) * NANOS_PER_DAY)
    manifest = write_graph_archive(tmp_path / "a", in_pieces(run, 37))
    assert sorted(Path(part.path).parts[2] for part in manifest.parts) == ["year=1970", "year=1971"]
    assert digest(read_graph_archive(tmp_path / "a")) == digest(run)


@pytest.mark.parametrize("windows", [1, 3, 50])
def test_a_range_is_the_same_however_the_windows_were_cut(tmp_path: Path, windows: int) -> None:
    runs = growing_runs(windows)
    whole = join_graph_runs(runs)
    write_graph_archive(tmp_path / "one", [whole])
    write_graph_archive(tmp_path / "many", runs)
    ts_close = whole.ts_close
    for first, last in ((0, 4), (3, 11), (10, len(ts_close) - 1)):
        span = {"from_ts_close": int(ts_close[first]), "to_ts_close": int(ts_close[last])}
        one = read_graph_archive(tmp_path / "one", **span)
        assert digest(one) == digest(read_graph_archive(tmp_path / "many", **span))
        np.testing.assert_array_equal(one.ts_close, ts_close[first + 1 : last + 1])
        seen = whole.instrument_ids[whole.mask[: last + 1].any(axis=0)]
        np.testing.assert_array_equal(one.instrument_ids, seen)
        place = np.searchsorted(whole.instrument_ids, seen)
        np.testing.assert_array_equal(one.features, whole.features[first + 1 : last + 1, place])
        assert one.seq == first + 1


def test_a_range_equals_the_run_that_ends_there(tmp_path: Path) -> None:
    run = random_trades(n=400, instruments=9, seconds=300)
    unseen = run.records["instrument_id"] > 3 + np.arange(400) // 50
    run.records["instrument_id"][unseen] = 1
    whole = join_graph_runs(snapshots_from_ticks([(0, run)], DIRECTORY, CONFIG, partitions=1))
    end = int(whole.ts_close[len(whole.ts_close) // 2])
    early = TickRun("trades", run.records[run.records["ts_event"] < end])
    expected = join_graph_runs(snapshots_from_ticks([(0, early)], DIRECTORY, CONFIG, partitions=1))
    write_graph_archive(tmp_path / "a", [whole])
    assert len(expected.instrument_ids) < len(whole.instrument_ids)
    assert digest(read_graph_archive(tmp_path / "a", to_ts_close=end)) == digest(expected)


def test_files_are_cut_by_size(tmp_path: Path) -> None:
    run = make_graphs(40, 4)
    pieces = list(gathered(in_pieces(run, 1), file_bytes=1000))
    assert len(pieces) > 3
    assert digest(join_graph_runs(pieces)) == digest(run)


def test_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    manifest = write_graph_archive(folder, growing_runs())
    part = folder / manifest.parts[1].path
    whole = part.read_bytes()
    part.write_bytes(whole[:-5])
    with pytest.raises(ArchiveError, match="half-written or damaged"):
        read_graph_archive(folder)
    part.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(ArchiveError, match="SHA-256"):
        read_graph_archive(folder)
    part.unlink()
    with pytest.raises(ArchiveError, match="is missing"):
        read_graph_archive(folder)


def test_a_manifest_changed_by_hand_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    write_graph_archive(folder, growing_runs())
    content = json.loads((folder / MANIFEST).read_text())
    del content["parts"][0]
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ArchiveError, match="changed by hand"):
        read_manifest(folder)
    (folder / MANIFEST).write_text('{"format": "another"}')
    with pytest.raises(ArchiveError, match="no manifest"):
        read_manifest(folder)


def test_foreign_folders_and_empty_ranges_are_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("hello")
    with pytest.raises(ArchiveError, match="is no archive"):
        read_graph_archive(tmp_path / "foreign")
    with pytest.raises(ArchiveError, match="is no archive"):
        read_graph_archive(tmp_path / "absent")
    with pytest.raises(ArchiveError, match="new or empty folder"):
        write_graph_archive(tmp_path / "foreign", growing_runs())
    with pytest.raises(GraphRunError, match="no snapshots"):
        write_graph_archive(tmp_path / "none", [])
    assert not (tmp_path / "none").exists()
    write_graph_archive(tmp_path / "a", growing_runs())
    with pytest.raises(ArchiveError, match="holds no window"):
        read_graph_archive(tmp_path / "a", to_ts_close=SIZE)
    with pytest.raises(ArchiveError, match="no universe 'other'"):
        read_graph_archive(tmp_path / "a", universe="other")


def test_runs_that_do_not_follow_leave_nothing(tmp_path: Path) -> None:
    first, second = growing_runs()[:2]
    with pytest.raises(GraphRunError, match="does not follow"):
        write_graph_archive(tmp_path / "a", [first, replace(second, seq=second.seq + 5)])
    assert not list(tmp_path.iterdir())
