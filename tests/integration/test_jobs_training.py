"""What a job's process makes: the same model for the same request and data, whatever engine runs it."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import msgspec
import pytest

from cs3g.jobs.engines import EngineConfig, engine_command
from cs3g.jobs.errors import JobError
from cs3g.jobs.running import run_process
from cs3g.jobs.spec import JobAnswer, JobEvent, JobSpec
from cs3g.jobs.spool import Spool, graph_bytes, graphs_sha256
from cs3g.jobs.training import do_job
from cs3g_model.distillation.recipe import Compression
from cs3g_model.manifest import Manifest, read_manifest
from tests.small_jobs import QUICK, save_student, save_teacher, small_graphs

WINDOWS = 90


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "teacher": save_teacher(folder),
        "student": save_student(folder),
        "other": save_student(folder, 7),
    }


@pytest.fixture(scope="module")
def data() -> bytes:
    return graph_bytes(small_graphs(WINDOWS))


def fill(folder: Path, models: dict[str, Path], data: bytes, **changes: object) -> Spool:
    values: dict[str, object] = {
        "kind": "distill",
        "seed": 1,
        "dataset_id": "live-graphs",
        "data_sha256": graphs_sha256(data),
        "recipe_id": "small",
        "recipe": QUICK,
        "teacher_id": models["teacher"].name,
        "student_id": None,
        "incumbent_id": models["student"].name,
        "budget_bytes": 10_000,
        "margin": 0.005,
    }
    spool = Spool(folder)
    spec = JobSpec(**{**values, **changes})  # type: ignore[arg-type]
    spool.write(spec, data, {path.name: path for path in models.values()})
    return spool


def made(spool: Spool) -> tuple[JobAnswer, Manifest, list[tuple[float, str]]]:
    steps: list[tuple[float, str]] = []
    answer = do_job(spool, lambda progress, detail: steps.append((progress, detail)))
    assert answer is not None
    assert answer.model_id is not None
    return answer, read_manifest(spool.out / answer.model_id), steps


@pytest.fixture(scope="module")
def first(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path], data: bytes
) -> tuple[JobAnswer, Manifest, list[tuple[float, str]]]:
    return made(fill(tmp_path_factory.mktemp("first"), models, data))


def test_a_student_is_distilled_and_compared(first, models: dict[str, Path], data: bytes) -> None:
    answer, manifest, steps = first
    assert manifest.role == "student"
    assert manifest.parent_id == models["teacher"].name
    assert manifest.config == read_manifest(models["student"]).config
    assert manifest.data_sha256 == {"live-graphs": graphs_sha256(data)}
    assert manifest.training["train"]["epochs"] == 1
    assert manifest.seed == 1
    assert manifest.splits["train"][1] < manifest.splits["judged"][0]
    fractions = [progress for progress, _ in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    verdict = answer.verdict
    assert verdict is not None
    assert verdict.windows == 22
    assert answer.metrics["rank_ic"] == verdict.candidate == manifest.metrics["judged_rank_ic"]
    # What it is compared with is not in the manifest, and does not change the id.
    assert "incumbent_rank_ic" not in manifest.metrics


def test_the_same_request_is_the_same_model_and_another_one_is_not(
    first, models: dict[str, Path], data: bytes, tmp_path: Path
) -> None:
    expected = first[0].model_id
    same, _, _ = made(fill(tmp_path / "same", models, data, margin=0.5))
    assert same.model_id == expected
    seed, _, _ = made(fill(tmp_path / "seed", models, data, seed=2))
    warm, manifest, _ = made(fill(tmp_path / "warm", models, data, student_id=models["other"].name))
    assert manifest.training["start"] == models["other"].name
    assert len({expected, seed.model_id, warm.model_id}) == 3


def test_a_job_compresses_to_the_incumbents_size(
    models: dict[str, Path], data: bytes, tmp_path: Path
) -> None:
    recipe = msgspec.structs.replace(QUICK, compression=Compression())
    _, by_recipe, _ = made(fill(tmp_path / "recipe", models, data, recipe=recipe, budget_bytes=1500))
    _, alone, _ = made(
        fill(tmp_path / "alone", models, data, kind="compress", teacher_id=None, budget_bytes=1500)
    )
    for manifest in (by_recipe, alone):
        assert manifest.weights_bytes <= 1500
        assert manifest.quantization is not None
    assert alone.parent_id == models["student"].name


def test_what_cannot_be_done_is_told(models: dict[str, Path], data: bytes, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="must name a teacher"):
        made(fill(tmp_path / "a", models, data, teacher_id=models["other"].name))
    with pytest.raises(JobError, match="must name a student"):
        made(fill(tmp_path / "b", models, data, student_id=models["teacher"].name))


ENGINES = [EngineConfig(), EngineConfig(name="torchrun"), EngineConfig(name="ray")]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_every_engine_makes_the_same_model(
    first, models: dict[str, Path], data: bytes, tmp_path: Path, engine: EngineConfig
) -> None:
    if engine.name == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'cs3g[ray]'")
    spool = fill(tmp_path / "job", models, data)
    events: list[JobEvent] = []

    async def run() -> None:
        ended = await run_process(
            engine_command(engine, spool.folder),
            spool.log,
            timeout_s=240,
            on_event=events.append,
            stop=asyncio.Event(),
        )
        assert (ended.how, ended.status) == ("exited", 0), spool.log.read_text()

    asyncio.run(run())
    answer = spool.answer()
    assert answer == first[0]
    assert read_manifest(spool.out / str(first[0].model_id)) == first[1]
    assert [(event.progress, event.detail) for event in events] == [(round(p, 4), d) for p, d in first[2]]


def test_a_process_that_cannot_do_its_job_says_why(
    models: dict[str, Path], data: bytes, tmp_path: Path
) -> None:
    from cs3g.jobs.process import main

    spool = fill(tmp_path / "job", models, data, teacher_id=models["other"].name)
    assert main(spool.folder) == 3
    answer = spool.answer()
    assert answer is not None
    assert "must name a teacher" in answer.error


def test_an_engine_that_cannot_start_is_refused() -> None:
    with pytest.raises(JobError, match="`processes`"):
        engine_command(EngineConfig(name="torchrun", processes=0), Path("x"))
    with pytest.raises(JobError, match="one of process, torchrun, ray"):
        engine_command(EngineConfig(name="slurm"), Path("x"))  # type: ignore[arg-type]
