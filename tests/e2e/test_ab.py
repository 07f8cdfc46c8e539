"""Models in any place, in process and through Kafka: the same scores, and the same report to the byte."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cs3g.ab.run import AbOptions, run_ab
from cs3g.ab.settings import AbSettings
from cs3g_model.artifacts import save_artifact
from replay.generator.config import MarketConfig
from replay.generator.files import write_panel, write_sectors
from replay.generator.market import generate_market
from tests.unit.cs3g_model.factories import SMALL_STUDENT, student_module, tensors_of

pytestmark = [pytest.mark.e2e, pytest.mark.broker]


@pytest.fixture
def on_terminate() -> Iterator[None]:
    """Give the process its handler back."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.usefixtures("on_terminate")
def test_a_teacher_two_students_and_two_replays_give_the_report_of_this_process(
    tmp_path: Path, bootstrap_servers: str
) -> None:
    market = generate_market(MarketConfig(instruments=12, windows=60, seed=3, sectors=2))
    write_panel(market, tmp_path / "panel.parquet")
    write_sectors(market, tmp_path / "sectors.parquet")
    other = save_artifact(tmp_path / "models", SMALL_STUDENT, tensors_of(student_module()))

    def run(name: str, *, through_kafka: bool) -> Path:
        options = AbOptions(
            # The teacher takes the student's place, the student its shadow; the third has a replay of its own.
            models=("teacher", "student", str(other)),
            out=tmp_path / name,
            data=(str(tmp_path / "panel.parquet"),),
            relations=tmp_path / "sectors.parquet",
            through_kafka=through_kafka,
            bootstrap_servers=bootstrap_servers if through_kafka else None,
            settings=AbSettings(draws=200),
        )
        run_ab(options, Console(file=io.StringIO()))
        return tmp_path / name

    online, offline = run("kafka", through_kafka=True), run("process", through_kafka=False)
    assert (online / "ab.json").read_bytes() == (offline / "ab.json").read_bytes()
    found = json.loads((online / "run.json").read_text())
    assert found["transport"] == "kafka"
    assert len(found["tick_to_prediction"]) == 3
    assert sorted(path.name for path in online.iterdir()) == [
        "ab.html",
        "ab.json",
        "ab.md",
        "replay-1",
        "replay-2",
        "run.json",
    ]
    assert json.loads((offline / "run.json").read_text())["transport"] == "in process"
