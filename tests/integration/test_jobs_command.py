"""`cs3g jobs` from the command line: submit, work, list, cancel."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.command_line import Run, check_line
from tests.integration.job_workers import prepare, set_environment, write_small_recipe

pytestmark = pytest.mark.broker


def test_a_job_from_submission_to_activation(
    cs3g: Run, bootstrap_servers: str, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, registry, teacher, student = asyncio.run(prepare(bootstrap_servers, run_id, tmp_path))
    set_environment(config, monkeypatch)
    write_small_recipe(tmp_path / "recipes")
    asked = ("jobs", "submit", "--teacher", teacher, "--student", student, "--recipe", "small")
    status, out, err = cs3g(*asked, "--job-id", "first", "--since", "1970-01-02", "--reason", "stale")
    assert (status, out, err) == (0, "first\n", "")
    assert cs3g(*asked, "--job-id", "second")[0] == 0
    assert cs3g("jobs", "cancel", "second", "--reason", "not now")[0] == 0
    # A margin above any difference of rank ICs: what is tested is the way, not the student.
    folders = ("--registry", tmp_path / "registry", "--recipes", tmp_path / "recipes")
    status, out, err = cs3g("jobs", "work", *folders, "--margin", "3", "--limit", "2", "--lease", "5")
    assert (status, out) == (0, "2 jobs done\n"), err
    rows = {row["job_id"]: row for row in json.loads(cs3g("jobs", "list", "--json")[1])}
    assert [(row["state"], row["progress"]) for row in rows.values()] == [
        ("succeeded", 1.0),
        ("cancelled", 1.0),
    ]
    assert rows["first"]["reason"] == "stale"
    assert rows["second"]["detail"] == "not now"
    result = registry.job("first")
    if rows["first"]["metrics"]["non_inferior"]:
        activation = registry.active("small", "student")
        assert activation is not None
        assert (activation.job_id, activation.since_ts_close) == ("first", 86_400 * 10**9)
        assert result["activation_seq"] == activation.seq == 2
    else:
        assert result["activation_seq"] is None
        assert "waits for" in rows["first"]["detail"]
    lineage = registry.lineage(rows["first"]["model_id"])
    assert (lineage.parent_id, lineage.incumbent_id, lineage.recipe_id) == (teacher, student, "small")
    table = cs3g("jobs", "list")[1]
    assert rows["first"]["model_id"] in table
    check_line(cs3g("jobs", "cancel", "second"), "'second'", "has ended already")
    check_line(cs3g("jobs", "cancel", "third"), "no job is called 'third'")


def test_mistakes_are_one_line(
    cs3g: Run, bootstrap_servers: str, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CS3G_BOOTSTRAP_SERVERS", bootstrap_servers)
    monkeypatch.setenv("CS3G_TOPIC_PREFIX", f"replay.{run_id}.")
    monkeypatch.setenv("CS3G_MODE", "replay")
    check_line(cs3g("jobs", "list"), "do not exist", "cs3g topics create")
    check_line(cs3g("jobs", "submit"), "do not exist", "cs3g topics create")
    check_line(cs3g("jobs", "submit", "--teacher", "../x"), "teacher_id")
    check_line(cs3g("jobs", "submit", "--from", "soon"), "--from")
    check_line(cs3g("jobs", "work", "--datasets", tmp_path / "nowhere"), "datasets", "is no folder")
    check_line(cs3g("jobs", "work", "--registry", tmp_path / "r"), "do not exist")
    check_line(cs3g("jobs", "list", "--bootstrap-servers", "127.0.0.1:1"), "127.0.0.1:1")
