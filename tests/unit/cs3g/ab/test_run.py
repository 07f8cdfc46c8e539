"""Which models, which window, which order: what surrounds the comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cs3g.ab.history import History
from cs3g.ab.market import market_of_closes, market_of_graphs
from cs3g.ab.models import load_contenders
from cs3g.ab.run import require_equal, window_of_day
from cs3g.ab.scores import lay_scores
from cs3g.ab.through_kafka import pairs_of
from cs3g.collect import CloseRun
from cs3g.errors import ComparisonError
from cs3g_model.artifacts import SHIPPED, save_artifact
from cs3g_model.errors import ArtifactNotFoundError
from pipeline.registry import Registry
from tests.unit.cs3g.ab.factories import MANIFESTS, make_market, random_scores
from tests.unit.cs3g_model.factories import SMALL_STUDENT, student_module, tensors_of
from tests.unit.topics.factories import make_graphs, make_predictions, make_ts_close
from topics.digest import prediction_digest
from topics.types import NANOS_PER_DAY, UNDEF_PRICE

STUDENT, TEACHER = (MANIFESTS[role].model_id for role in ("student", "teacher"))


def save_student(folder: Path, seed: int = 0) -> Path:
    return save_artifact(folder, SMALL_STUDENT, tensors_of(student_module(seed=seed)), seed=seed)


def test_models_are_found_by_role_id_folder_and_registry(tmp_path: Path) -> None:
    folder = save_student(tmp_path / "models")
    url = str(tmp_path / "registry")
    kept = Registry(url, cache=tmp_path / "cache").add(save_student(tmp_path / "more", seed=1))
    found = load_contenders(["teacher", STUDENT[:6], str(folder), kept], url)
    assert [one.name for one in found] == [
        "teacher",
        f"student {STUDENT[:8]}",
        f"student {folder.name[:8]}",
        f"student {kept[:8]}",
    ]
    assert [one.manifest.model_id for one in found] == [TEACHER, STUDENT, folder.name, kept]


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (["student"], ComparisonError, "a comparison takes two models, got 1"),
        (["student", STUDENT], ComparisonError, "are the same model"),
        (["student", str(SHIPPED / STUDENT)], ComparisonError, "are the same model"),
        (["student", "feedface"], ArtifactNotFoundError, "no model is called 'feedface'"),
        (["student", "no/such/folder"], ArtifactNotFoundError, "no/such/folder is no artifact"),
    ],
)
def test_a_wrong_model_is_refused_by_name(
    names: list[str], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        load_contenders(names, str(tmp_path / "registry"))


def history(opens_ns: list[int], size_ns: int) -> History:
    graphs = make_graphs(len(opens_ns), 3)
    graphs = replace(graphs, size_ns=size_ns, ts_close=np.array(opens_ns, np.int64) + size_ns)
    return History(graphs, ("x",), "sha256:1", 1, "0", ())


def test_the_day_is_the_last_window_that_opens_on_it() -> None:
    day, hour = NANOS_PER_DAY, NANOS_PER_DAY // 24
    daily = history([0, day, 4 * day], day)
    assert window_of_day(daily, None) == 2
    assert window_of_day(daily, "1970-01-02") == 1
    assert window_of_day(history([0, hour, 23 * hour, 25 * hour], hour), "1970-01-01") == 2
    with pytest.raises(ComparisonError, match=r"--day 1970-01-04: .* has days from 1970-01-01 to 1970-01-05"):
        window_of_day(daily, "1970-01-04")


def test_other_scores_or_ticks_through_kafka_are_an_error() -> None:
    market = make_market()
    here = random_scores("student", market)
    require_equal([here], [here], ["sha256:1", "sha256:1"])
    with pytest.raises(ComparisonError, match="student's scores through Kafka have digest sha256:other"):
        require_equal([here], [replace(here, digest="sha256:other")], ["sha256:1"])
    with pytest.raises(ComparisonError, match="sent other ticks"):
        require_equal([here], [here], ["sha256:1", "sha256:2"])


def test_models_share_replays_two_by_two() -> None:
    contenders = load_contenders(["student", "teacher"])
    assert [len(pair) for pair in pairs_of([*contenders, contenders[0]])] == [2, 1]


def test_runs_of_a_growing_universe_are_laid_on_the_market_whatever_role_they_served_in() -> None:
    market = market_of_graphs(make_graphs(5, 4, ts_close=make_ts_close(5)))
    runs = [
        replace(make_predictions(2, 3), role="teacher"),
        replace(make_predictions(2, 4, ts_close=make_ts_close(2, 2), seed=1), role="teacher"),
    ]
    laid = lay_scores("student", MANIFESTS["student"], runs, market)
    assert np.isnan(laid.scores[:2, 3]).all()
    assert np.isnan(laid.scores[4]).all()
    assert (np.isfinite(laid.scores[:2, :3]) == runs[0].mask).all()
    assert (laid.scores[2:4][runs[1].mask] == runs[1].scores[runs[1].mask]).all()
    assert laid.warmup.tolist() == [*runs[0].warmup.tolist(), *runs[1].warmup.tolist(), True]
    assert laid.digest == prediction_digest(replace(run, role="student") for run in runs)


def test_closes_are_stacked_over_the_last_instruments() -> None:
    early = CloseRun(make_ts_close(1), np.array([2], np.uint32), np.array([[5 * 10**9]]), {2: 0})
    later = CloseRun(
        make_ts_close(1, 1), np.array([1, 2], np.uint32), np.array([[10**9, UNDEF_PRICE]]), {2: 1}
    )
    market = market_of_closes([early, later], {2: "B"}, NANOS_PER_DAY, ["x", "y"])
    assert market.close.tolist() == [[UNDEF_PRICE, 5 * 10**9], [10**9, UNDEF_PRICE]]
    assert market.symbols == ("#1", "B")
    assert market.sector.tolist() == [-1, 1]
    np.testing.assert_array_equal(market.panel().prices, [[np.nan, 5.0], [1.0, np.nan]])
    with pytest.raises(ComparisonError, match="no snapshot"):
        market_of_closes([], {}, NANOS_PER_DAY)
