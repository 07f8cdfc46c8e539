"""A job's folder: what is written is read back, and nothing of an earlier attempt stays."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from cs3g.jobs.errors import JobError
from cs3g.jobs.spec import JobAnswer, JobSpec
from cs3g.jobs.spool import Spool, graph_bytes
from tests.small_jobs import QUICK, small_graphs


def spec() -> JobSpec:
    return JobSpec(
        kind="distill",
        seed=3,
        dataset_id="live-graphs",
        data_sha256="0" * 64,
        recipe_id="quick",
        recipe=QUICK,
        teacher_id="t",
        student_id=None,
        incumbent_id="s",
        budget_bytes=100,
        margin=0.01,
    )


def test_a_job_goes_through_its_folder(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "manifest.json").write_text("{}")
    spool = Spool(tmp_path / "spool" / "job")
    run = small_graphs()
    spool.write(spec(), graph_bytes(run), {"s": model})
    assert spool.spec() == spec()
    assert (spool.model("s") / "manifest.json").read_text() == "{}"
    back = spool.graphs()
    for field in fields(run):
        before, after = getattr(run, field.name), getattr(back, field.name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after, before)
        else:
            assert after == before
    assert spool.answer() is None
    spool.write_answer(JobAnswer(error="no"))
    assert spool.answer() == JobAnswer(error="no")
    spool.clear_answer()
    assert spool.answer() is None
    spool.write_answer(JobAnswer(error="no"))
    spool.write(spec(), graph_bytes(run), {})
    assert spool.answer() is None
    assert not spool.model("s").exists()


def test_a_damaged_folder_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(JobError, match=r"request\.json"):
        spool.spec()
    (tmp_path / "data.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(JobError, match="no history of a job"):
        spool.graphs()
    (tmp_path / "answer.json").write_text('{"model_id": 7}')
    with pytest.raises(JobError, match=r"answer\.json"):
        spool.answer()
