"""`cs3g models add|activate|rollback|announce|lineage`: a registry from the command line, and what workers are told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cs3g_model.artifacts import SHIPPED, list_artifacts, save_artifact
from tests.integration.command_line import Run, check_line
from tests.unit.cs3g_model.factories import SMALL_STUDENT, student_module, tensors_of
from topics.admin import create_topics
from topics.announcements import AnnouncementReader
from topics.specs import replay_prefix

SHIPPED_STUDENT = next(
    manifest.model_id for _, manifest in list_artifacts(SHIPPED) if manifest.role == "student"
)
SINCE_NS = 1_769_893_200_000_000_000


@pytest.fixture
def closed_address() -> Iterator[str]:
    with socket.socket() as bound:  # bound and not listening: nobody else gets it, nobody answers
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def student(tmp_path: Path) -> Path:
    made = tensors_of(student_module())
    return save_artifact(tmp_path / "made", SMALL_STUDENT, made, parent_id=SHIPPED_STUDENT)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_address: str) -> Path:
    """A registry by its setting, and no broker at the configured address."""
    monkeypatch.setenv("CS3G_REGISTRY", str(tmp_path / "registry"))
    monkeypatch.setenv("CS3G_BOOTSTRAP_SERVERS", closed_address)
    return tmp_path / "registry"


def as_json(run: tuple[int, str, str]) -> Any:
    status, out, err = run
    assert status == 0, err
    return json.loads(out)


def test_a_model_is_added_listed_and_traced(cs3g: Run, registry: Path, student: Path) -> None:
    for _ in range(2):
        assert as_json(cs3g("models", "add", student, "--json")) == {
            "id": student.name,
            "registry": str(registry),
        }
    rows = {row["id"]: row for row in as_json(cs3g("models", "list", "--json"))}
    assert rows.keys() == {student.name, *(manifest.model_id for _, manifest in list_artifacts(SHIPPED))}
    assert rows[student.name]["path"] == str(registry / "artifacts" / student.name)
    assert rows[student.name]["serves"] == []
    chain = as_json(cs3g("models", "lineage", student.name[:6], "--json"))
    assert [(found["model_id"], found["parent_id"]) for found in chain[:1]] == [
        (student.name, SHIPPED_STUDENT)
    ]
    status, out, _ = cs3g("models", "lineage", student.name)
    assert (status, out.splitlines()[0]) == (0, f"{student.name}, made from {SHIPPED_STUDENT}")


def test_an_activation_without_a_broker_stands_and_says_that_nobody_was_told(
    cs3g: Run, registry: Path, student: Path
) -> None:
    cs3g("models", "add", student)
    status, out, err = cs3g("models", "activate", student.name, "--since", "2026-01-31T21:00Z", "--json")
    made = json.loads(out)
    assert (status, made["announced"], made["since_ts_close"]) == (0, False, SINCE_NS)
    assert "cs3g models announce" in err
    rows = {row["id"]: row for row in as_json(cs3g("models", "list", "--json"))}
    assert rows[student.name]["serves"] == ["default/student"]
    assert "default/student" in cs3g("models", "list")[1]
    assert (registry / "activations" / "default" / "student" / "00000001.json").is_file()


def test_a_broker_that_was_named_must_answer(
    cs3g: Run, registry: Path, student: Path, closed_address: str
) -> None:
    cs3g("models", "add", student)
    run = cs3g("models", "activate", student.name, "--bootstrap-servers", closed_address)
    check_line(run, "activation 1 stands but was not announced", closed_address)


def test_mistakes_are_one_line_and_activate_nothing(cs3g: Run, registry: Path, student: Path) -> None:
    cs3g("models", "add", student)
    check_line(cs3g("models", "activate", "feed" * 4), "no model 'feedfeedfeedfeed'", "cs3g models list")
    check_line(cs3g("models", "activate", student.name, "--role", "teacher"), "a teacher is needed")
    check_line(cs3g("models", "activate", student.name, "--since", "soon"), "'soon'")
    check_line(cs3g("models", "activate", student.name, "--expected", 3), "not 3")
    check_line(cs3g("models", "rollback"), "nothing served default/student before")
    check_line(cs3g("models", "announce"), "nothing was activated for default/student")
    check_line(cs3g("models", "lineage", "feed" * 4), "no model")
    check_line(cs3g("models", "add", registry / "nowhere"), "nowhere")
    check_line(cs3g("models", "list", "--registry", "nothing-known://x"), "nothing-known")
    weights = registry / "artifacts" / student.name / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    check_line(cs3g("models", "activate", student.name), student.name, "sha256")
    assert not (registry / "activations").exists()


@pytest.mark.broker
def test_workers_are_told_once_and_again(
    cs3g: Run, registry: Path, student: Path, bootstrap_servers: str, broker_kind: str, run_id: str
) -> None:
    prefix = replay_prefix(run_id)
    asyncio.run(
        create_topics(bootstrap_servers, prefix=prefix, partitions=1, embedded=broker_kind == "embedded")
    )
    to = ("--bootstrap-servers", bootstrap_servers, "--topic-prefix", prefix)
    cs3g("models", "add", student)
    first = as_json(cs3g("models", "activate", SHIPPED_STUDENT, *to, "--json"))
    second = as_json(
        cs3g("models", "activate", student.name, *to, "--since", SINCE_NS, "--detail", "why", "--json")
    )
    back = as_json(cs3g("models", "rollback", *to, "--json"))
    again = as_json(cs3g("models", "announce", *to, "--json"))
    assert again["seq"] == back["seq"] == 3
    assert [made["model_id"] for made in (first, second, back)] == [
        SHIPPED_STUDENT,
        student.name,
        SHIPPED_STUDENT,
    ]

    async def told() -> list[tuple[int, str, int, str, str]]:
        reader = AnnouncementReader(bootstrap_servers, universe="default", role="student", prefix=prefix)
        try:
            found = [announced.model for announced in await reader.read()]
            assert await reader.read() == []  # each once
        finally:
            await reader.close()
        return [(m.seq, m.model_id, m.since_ts_close, m.sha256, m.detail) for m in found]

    expected = [
        (made["seq"], made["model_id"], made["since_ts_close"], made["sha256"], made["detail"])
        for made in (first, second, back, again)
    ]
    # The topic is compacted: at least the last one is there, and whatever else is, in order.
    found = asyncio.run(told())
    assert found == expected[-len(found) :]
    assert found
