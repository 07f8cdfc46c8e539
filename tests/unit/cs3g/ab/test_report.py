"""The report: plain JSON without NaN, a page with its charts, equal bytes for equal data."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cs3g.ab.comparison import Comparison, compare
from cs3g.ab.latency import latency_values, median_ms
from cs3g.ab.provenance import Provenance
from cs3g.ab.report import Report, make_report, write_report
from cs3g.ab.scores import ModelScores
from cs3g.ab.settings import AbSettings
from cs3g.ab.verdict import verdict
from tests.unit.cs3g.ab.factories import MANIFESTS, future_returns, make_market, make_scores, random_scores

MARKET = make_market(0, t=60, n=14)
QUICK = AbSettings(draws=200, history=3)
LATENCY = latency_values({"student": [0.2, 0.3, 0.25], "teacher": [18.0, 17.0, 25.0]})
GRAPH = {
    "ts_close": int(MARKET.ts_close[-1]),
    "instruments": 14,
    "sector_names": ["sector A", "sector B"],
    "sector_of": {"S00": "sector A", "S01": "sector B"},
    "models": {
        "teacher": {
            "edges": [{"to": "S00", "from": "S01", "weight": 0.5}],
            "heard": [{"from": "S01", "weight": 0.1}],
            "sector_lift": [[2.0, 0.0], [0.5, 12.0]],
        }
    },
}


def provenance(source: str = "panel.parquet") -> Provenance:
    return Provenance(sources=(source,), data_digest="sha256:1", config_hash="0123", settings=QUICK)


def models(*names: str, constant: bool = False) -> list[ModelScores]:
    made = [random_scores(name, MARKET, seed) for seed, name in enumerate(names)]
    if constant:
        made = [make_scores(model.name, np.zeros_like(model.scores), warmup=5) for model in made]
    return made


def report(*names: str, constant: bool = False, source: str = "panel.parquet") -> Report:
    chosen = models(*(names or ("student", "teacher")), constant=constant)
    found = compare(chosen, MARKET, QUICK)
    return make_report(chosen, MARKET, provenance(source), found, graph=GRAPH, latency=LATENCY)


def read(folder: Path) -> Any:
    return json.loads((folder / "ab.json").read_text(), parse_constant=pytest.fail)


class Nesting(HTMLParser):
    """Fails on a tag that is closed out of turn, and keeps the attributes that would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [
            f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "xlink:href")
        ]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"path", "circle", "rect"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("names", [("student", "teacher"), ("student", "teacher", "student 2"), ("student",)])
def test_the_files_are_plain_json_markdown_and_a_page_that_fetches_nothing(
    tmp_path: Path, names: tuple[str, ...], constant: bool
) -> None:
    made = report(*names, constant=constant)
    write_report(tmp_path, made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ab.html", "ab.json", "ab.md"]
    found = read(tmp_path)
    assert found == json.loads(json.dumps(made.values))
    assert list(found["models"]) == sorted(names)
    assert [found["models"][name]["place"] for name in names] == list(range(len(names)))
    page = (tmp_path / "ab.html").read_text()
    nesting = Nesting()
    nesting.feed(page)
    assert (nesting.open, nesting.fetched) == ([], [])
    assert "<script" not in page
    assert not re.search(r"url\((?!#tip)|@import|https?:", page)
    drawn = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    assert not re.search(r"\b(nan|inf)\b", drawn, re.I)
    for title in ("Cumulative rank IC", "Calibration", "Long-short book", "Where it works", "Learned graph"):
        assert f"<h2>{title}" in page
    assert ("<h2>Rank agreement over time" in page) == (len(names) > 1)
    assert "Latency of a step" in page
    text = (tmp_path / "ab.md").read_text()
    assert made.verdict in text
    assert ("Model confidence set at 90 %" in text) == (len(names) > 2)


def test_equal_data_are_equal_bytes_and_latency_is_in_no_json(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(tmp_path / name, report())
    for file in ("ab.json", "ab.md", "ab.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert "_ms" not in (tmp_path / "a" / "ab.json").read_text()


def test_the_manifest_says_what_is_needed_to_get_the_numbers_again() -> None:
    values = report().values
    manifest = values["manifest"]
    assert manifest["data_digest"] == "sha256:1"
    assert (manifest["windows"], manifest["instruments"]) == (60, 14)
    assert manifest["settings"]["draws"] == 200
    assert values["models"]["student"]["model_id"] == MANIFESTS["student"].model_id
    assert values["models"]["teacher"]["weights_sha256"] == MANIFESTS["teacher"].weights_sha256
    assert values["bytes_ratio"] == MANIFESTS["teacher"].weights_bytes / MANIFESTS["student"].weights_bytes


def test_where_nothing_is_compared_the_reason_stands(tmp_path: Path) -> None:
    made = make_report(
        models("student", "teacher"), MARKET, provenance("<script>x</script>"), None, reason="<b>"
    )
    write_report(tmp_path, made)
    assert read(tmp_path)["comparison"] is None
    page = (tmp_path / "ab.html").read_text()
    assert "Nothing could be compared: &lt;b&gt;" in page
    assert "&lt;script&gt;x" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert "<table" not in page
    assert "<script" not in (tmp_path / "ab.md").read_text()


def compared(lo: float, hi: float, equivalent: bool, *, third: bool = False) -> dict[str, Any]:
    values: dict[str, Any] = {
        "windows": 1234,
        "pairs_of_models": [
            {
                "difference": {"diff": (lo + hi) / 2, "lo": lo, "hi": hi},
                "equivalence": {"equivalent": equivalent, "margin": 0.005, "alpha": 0.05},
            }
        ],
    }
    if third:
        values["confidence_set"] = {"size": 0.1, "included": ("teacher", "student")}
    return values


def test_the_verdict_is_one_sentence_with_its_interval() -> None:
    names = ("student", "teacher")
    assert verdict(names, compared(-0.002, 0.004, True)) == (
        "Over 1,234 windows the student's rank IC minus the teacher's is +0.0010 [-0.0020, +0.0040] (95 % CI): the "
        "student is equivalent to the teacher within ±0.005 (TOST, 5 %)."
    )
    assert "is not shown to be equivalent" in verdict(names, compared(-0.01, 0.01, False))
    worse = verdict(names, compared(-0.02, -0.01, False))
    assert worse.endswith("within ±0.005 (TOST, 5 %), and is worse by an interval clear of zero.")
    assert "and is better by" in verdict(names, compared(0.01, 0.02, False))
    three = verdict(("student 1234", "teacher", "student"), compared(-0.01, 0.01, False, third=True))
    assert three.startswith("Over 1,234 windows student 1234's rank IC minus the teacher's is")
    assert three.endswith("; the model confidence set at 90 % holds teacher, student of 3 models.")


def test_a_model_alone_is_told_with_its_own_interval() -> None:
    found: Comparison = compare(models("student"), MARKET, QUICK)
    text = verdict(("student",), found.values)
    mean = found.values["models"]["student"]["RankIC"]
    assert text.startswith(f"The student's rank IC is {mean:+.4f} [")
    assert "no other model ran beside it" in text


def test_knowing_models_are_drawn_above_reversal(tmp_path: Path) -> None:
    knowing = make_scores("teacher", np.nan_to_num(future_returns(MARKET)))
    found = compare([knowing], MARKET, QUICK)
    assert np.cumsum(found.rank_ic["teacher"])[-1] == pytest.approx(len(found.ts_close))
    write_report(tmp_path, make_report([knowing], MARKET, provenance(), found))
    page = (tmp_path / "ab.html").read_text()
    assert "Learned graph" not in page
    assert "Latency" not in page


def test_latency_is_told_by_percentiles_and_nothing_of_none() -> None:
    assert median_ms([]) is None
    assert median_ms([3.0, 1.0, 2.0]) == 2.0
    assert LATENCY["student"]["p50_ms"] == 0.25
    assert latency_values({"a": []}) == {}
