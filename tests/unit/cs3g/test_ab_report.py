"""The A/B report: plain JSON without NaN, a page with a plot, equal bytes for equal data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cs3g.ab_report import Provenance, median_ms, report_values, verdict, write_report
from cs3g_model.artifacts import Manifest, list_artifacts
from pipeline.comparison import CloseTable, Comparison, ScoreTable, compare
from tests.unit.topics.factories import SIZE_NS, make_ts_close
from topics.types import Role

T, N = 60, 12
MANIFESTS: dict[Role, Manifest] = {found.role: found for _, found in list_artifacts()}


def comparison(*, teacher: bool = True, constant: bool = False) -> Comparison:
    rng = np.random.default_rng(0)
    prices = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal((T, N)), axis=0))
    ids = np.arange(1, N + 1, dtype=np.uint32)
    roles: tuple[Role, ...] = ("student", "teacher") if teacher else ("student",)
    tables = [
        ScoreTable(
            role,
            role,
            make_ts_close(T),
            ids,
            tuple(f"S{n}" for n in ids),
            np.zeros((T, N)) if constant else rng.standard_normal((T, N)),
            np.arange(T) < 5,
        )
        for role in roles
    ]
    return compare(tables, CloseTable(make_ts_close(T), ids, prices))


def provenance(*roles: Role, source: str = "panel.parquet") -> Provenance:
    return Provenance(
        sources=(source,),
        data_digest="sha256:1",
        prediction_digest="sha256:2",
        config_hash="0123456789abcdef",
        window_size_ns=SIZE_NS,
        manifests={role: MANIFESTS[role] for role in roles or ("student", "teacher")},
    )


def read(folder: Path) -> Any:
    return json.loads((folder / "ab.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("constant", [False, True])
def test_the_report_is_json_without_nan_and_a_page_with_a_plot(tmp_path: Path, constant: bool) -> None:
    compared = comparison(constant=constant)
    values = report_values(compared, provenance())
    write_report(tmp_path, values, compared)
    found = read(tmp_path)
    assert found == json.loads(json.dumps(values))
    assert found["comparison"]["predictors"].keys() == {"student", "teacher", "reversal"}
    assert found["models"]["student"]["model_id"] == MANIFESTS["student"].model_id
    assert found["bytes_ratio"] == MANIFESTS["teacher"].weights_bytes / MANIFESTS["student"].weights_bytes
    page = (tmp_path / "ab.html").read_text()
    assert page.count("<svg") == 1
    assert "cumulative rank IC" in page
    assert "nan" not in page.lower().split("<h2>")[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ab.html", "ab.json"]


def test_equal_data_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        compared = comparison()
        write_report(tmp_path / name, report_values(compared, provenance()), compared)
    for file in ("ab.json", "ab.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_where_nothing_is_compared_the_reason_stands(tmp_path: Path) -> None:
    values = report_values(None, provenance(), reason="a single instrument")
    write_report(tmp_path, values, None)
    assert read(tmp_path)["comparison"] is None
    page = (tmp_path / "ab.html").read_text()
    assert "Nothing could be compared: a single instrument" in page
    assert "<svg" not in page
    assert "<table" not in page


def test_a_student_alone_is_reported_alone(tmp_path: Path) -> None:
    compared = comparison(teacher=False)
    values = report_values(compared, provenance("student"))
    write_report(tmp_path, values, compared)
    assert "no teacher ran beside it" in values["verdict"]
    assert "bytes_ratio" not in values
    assert "agreement of student and teacher" not in (tmp_path / "ab.html").read_text()


@pytest.mark.parametrize(("equivalent", "words"), [(True, "is equivalent"), (False, "is not shown to be")])
def test_the_verdict_gives_the_interval(equivalent: bool, words: str) -> None:
    compared = comparison()
    difference = compared.summary["student_minus_teacher"]
    difference |= {"rank_ic": 0.001, "rank_ic_low": -0.002, "rank_ic_high": 0.004, "equivalent": equivalent}
    text = verdict(compared)
    assert words in text
    assert "+0.0010 [-0.0020, +0.0040] (95 % CI)" in text
    assert "±0.005" in text


def test_names_of_files_are_escaped(tmp_path: Path) -> None:
    values = report_values(None, provenance(source="<script>x</script>"), reason="<b>")
    write_report(tmp_path, values, None)
    page = (tmp_path / "ab.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page


def test_the_median_of_no_latency_is_none() -> None:
    assert median_ms([]) is None
    assert median_ms([3.0, 1.0, 2.0]) == 2.0
