"""A model announced for a window serves from that window on, in either role and whatever is killed around it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from cs3g.announcing import announce
from cs3g.models import load_model
from cs3g.session import SessionResult
from cs3g_model.artifacts import save_artifact
from pipeline.config import PipelineConfig
from tests.e2e.sessions import PARTITIONS, UNIVERSE, Offline, Session, config_for, run_offline, run_online
from tests.e2e.swaps import WARM_WINDOWS, Made, make_models, swapped
from tests.unit.cs3g_model.factories import SMALL_STUDENT, student_module, tensors_of
from topics.admin import create_topics
from topics.control import DeadLetter, decode_control
from topics.cuts import slice_graphs
from topics.digest import prediction_digest
from topics.envelope import Envelope
from topics.runs import GraphRun
from topics.tail import read_tail
from topics.types import Role

pytestmark = [pytest.mark.e2e, pytest.mark.broker]


@pytest.fixture(scope="module")
def offline() -> Offline:
    return asyncio.run(run_offline())


@pytest.fixture
def is_embedded(broker_kind: str) -> bool:
    return broker_kind == "embedded"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make_models(tmp_path)


async def start(config: PipelineConfig, *, embedded: bool) -> None:
    await create_topics(
        config.bootstrap_servers, prefix=config.topic_prefix, partitions=PARTITIONS, embedded=embedded
    )


class Killer:
    """Kills a role's only worker each time when it has predicted up to one of some windows, and starts it again."""

    def __init__(self, role: Role, windows: list[int]) -> None:
        self._role: Role = role
        self._windows = sorted(windows)
        self.killed = 0

    def __call__(self, session: Session) -> None:
        if self._windows and session.roles[self._role].windows >= self._windows[0]:
            self._windows.pop(0)
            name = f"{self._role}-1"
            session.processes.kill(name)
            session.processes.start(name, ["worker", "--role", self._role, "--id", "1"])
            self.killed += 1


def check_continuous(result: SessionResult, role: Role, graphs: GraphRun) -> None:
    runs = [run for run in result.collected.predictions if run.role == role]
    ends = np.concatenate([run.ts_close for run in runs])
    assert ends.tolist() == graphs.ts_close.tolist()  # each window once, none missing
    numbers = np.concatenate([run.seq + np.arange(len(run.ts_close)) for run in runs])
    assert numbers.tolist() == list(range(len(ends)))
    assert result.collected.gaps == []
    assert result.collected.digest.n_conflicts == 0


async def test_both_roles_change_models_at_their_windows_though_their_workers_are_killed(
    bootstrap_servers: str, is_embedded: bool, run_id: str, offline: Offline, made: Made, tmp_path: Path
) -> None:
    graphs = offline.graphs
    places: dict[Role, int] = {"student": 40, "teacher": 60}
    config = config_for(bootstrap_servers, run_id, registry=made.registry.url, warm_windows=WARM_WINDOWS)
    await start(config, embedded=is_embedded)
    for role, place in places.items():
        since = int(graphs.ts_close[place - 1])
        activation = made.registry.activate(UNIVERSE, role, made.ids[role], since_ts_close=since)
        await announce(config, activation)
    killers = [Killer("student", [38, 41]), Killer("teacher", [59])]

    def disturb(session: Session) -> None:
        for killer in killers:
            killer(session)

    result = await run_online(
        bootstrap_servers,
        run_id,
        tmp_path,
        embedded=is_embedded,
        teacher=True,
        batch_ticks=7,
        speed=8.0,
        disturb=disturb,
        config=config,
    )
    assert [killer.killed for killer in killers] == [2, 1]
    expected = []
    for role, place in places.items():
        check_continuous(result, role, graphs)
        expected += swapped(load_model(config, role), made.model(role), graphs, place)
    assert result.collected.digest.value() == prediction_digest(expected)


async def test_what_cannot_serve_is_refused_and_a_later_announcement_still_counts(
    bootstrap_servers: str, is_embedded: bool, run_id: str, offline: Offline, made: Made, tmp_path: Path
) -> None:
    graphs = offline.graphs
    config = config_for(bootstrap_servers, run_id, registry=made.registry.url, warm_windows=WARM_WINDOWS)
    await start(config, embedded=is_embedded)
    other = save_artifact(tmp_path / "other", SMALL_STUDENT, tensors_of(student_module(seed=5)))
    damaged = made.registry.add(other)
    for place, model_id in ((10, damaged), (50, made.ids["student"]), (70, "068732c202d90d14")):
        since = int(graphs.ts_close[place - 1])
        await announce(config, made.registry.activate(UNIVERSE, "student", model_id, since_ts_close=since))
    weights = tmp_path / "registry" / "artifacts" / damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")

    result = await run_online(bootstrap_servers, run_id, tmp_path, embedded=is_embedded, config=config)

    check_continuous(result, "student", graphs)
    first, new = load_model(config, "student"), made.model("student")
    old, between = swapped(first, new, slice_graphs(graphs, 0, 70), 50)
    _, back = swapped(new, first, graphs, 70)
    assert result.collected.digest.value() == prediction_digest([old, between, back])
    letters = await read_tail(bootstrap_servers, config.topics.dead_letters, lambda _: False)
    found = [decode_control(letter.value, Envelope.from_headers(letter.headers)) for letter in letters]
    (refused,) = [x for x in found if isinstance(x, DeadLetter) and x.cause == "model_refused"]
    assert (refused.source_topic, refused.offset) == (config.topics.models, 0)
    assert damaged in refused.detail
    assert "sha256" in refused.detail
    log = (tmp_path / "student-1.log").read_text()
    assert log.count("keeps serving") == 1
