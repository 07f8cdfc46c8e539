"""The range of windows that a job learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cs3g.jobs.errors import JobError, JobRefused
from cs3g.jobs.history_data import archive_folder, join_range
from cs3g.jobs.spool import graph_bytes, graphs_sha256
from tests.small_jobs import small_graphs
from topics.cuts import slice_graphs


def test_a_range_is_half_open_and_repeats_count_once() -> None:
    run = small_graphs()
    pieces = [slice_graphs(run, 0, 20), slice_graphs(run, 10, 40), slice_graphs(run, 40, 64)]
    joined = join_range(pieces, int(run.ts_close[4]), int(run.ts_close[49]), "x")
    np.testing.assert_array_equal(joined.ts_close, run.ts_close[5:50])
    np.testing.assert_array_equal(joined.features, run.features[5:50])
    assert len(join_range(pieces, 0, 0, "x").ts_close) == 64


def test_how_a_range_was_cut_and_where_it_lay_does_not_change_its_digest() -> None:
    run = small_graphs()
    start, end = int(run.ts_close[4]), int(run.ts_close[49])
    digests = {
        graphs_sha256(graph_bytes(join_range(pieces, start, end, "x")))
        for pieces in (
            [run],
            [slice_graphs(run, 0, 7), slice_graphs(run, 7, 64)],
            [slice_graphs(run, 5, 50)],
        )
    }
    assert len(digests) == 1
    assert digests != {graphs_sha256(graph_bytes(run))}


def test_an_empty_or_broken_range_is_told() -> None:
    run = small_graphs()
    with pytest.raises(JobError, match="'x' holds no window"):
        join_range([run], int(run.ts_close[-1]), 0, "x")
    with pytest.raises(JobError, match="'x' holds no window"):
        join_range([], 0, 0, "x")
    with pytest.raises(JobError, match="not whole"):
        join_range([slice_graphs(run, 0, 5), slice_graphs(run, 6, 9)], 0, 0, "x")


def test_an_archive_is_taken_from_the_list_and_never_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "sets" / "year").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "sets" / "file").touch()
    assert archive_folder(tmp_path / "sets", "year") == tmp_path / "sets" / "year"
    for name in ("file", "..", "../outside", "other", str(tmp_path / "outside")):
        with pytest.raises(JobRefused, match="knows live-graphs, year"):
            archive_folder(tmp_path / "sets", name)
    with pytest.raises(JobRefused, match="knows live-graphs"):
        archive_folder(None, "year")
