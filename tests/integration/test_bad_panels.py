"""Panels, relations and artifacts that are wrong or odd: one clear line, or documented handling; never NaN out.

Documented handling:
- a gap: the instrument has no score in that window and goes on afterwards where it was;
- one instrument: it is scored, and stands nowhere, for there is nobody to stand above; a fit is refused;
- constant prices: everybody is scored; a fit has nothing to learn and is refused;
- a relation that a model does not read, and symbols that the panel lacks: ignored;
- a split of 1000:1: smooth with `adjusted_close`; without, one return beyond the limit that returns are cut at.
"""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cs3g.panel_data import PanelFile
from cs3g_model.artifacts import save_artifact
from cs3g_model.features import RETURN_LIMIT
from tests.integration.command_line import Run
from tests.unit.cs3g_model.factories import (
    SMALL_STUDENT,
    SMALL_TEACHER,
    student_module,
    teacher_module,
    tensors_of,
)

DAYS, SYMBOLS = 50, 10
FIRST = date(2020, 1, 1)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        "student": save_artifact(folder, SMALL_STUDENT, tensors_of(student_module())),
        "teacher": save_artifact(folder, SMALL_TEACHER, tensors_of(teacher_module())),
    }


def make_panel(days: int = DAYS, symbols: int = SYMBOLS) -> pl.DataFrame:
    g = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(0.02 * g.standard_normal((days, symbols)), axis=0))
    t, n = (index.ravel() for index in np.indices(close.shape))
    return pl.DataFrame(
        {
            "date": pl.Series([FIRST + timedelta(days=int(day)) for day in t], dtype=pl.Date),
            "symbol": pl.Series([f"S{i:02d}" for i in n], dtype=pl.String),
            **{name: close[t, n] * factor for name, factor in (("open", 1.0), ("high", 1.01), ("low", 0.99))},
            "close": close[t, n],
            "volume": g.integers(1000, 9000, len(t)),
        }
    )


def score(cs3g: Run, artifact: Path, panel: pl.DataFrame, folder: Path, *options: object) -> pl.DataFrame:
    panel.write_parquet(folder / "panel.parquet")
    out = folder / "scores.parquet"
    status, _, err = cs3g(
        "score", "--model", artifact, "--data", folder / "panel.parquet", "--out", out, *options
    )
    assert status == 0, err
    scores = pl.read_parquet(out)
    assert scores["score"].is_finite().all()
    assert scores.select("ts_close", "symbol").is_unique().all()
    return scores


def refused(run: tuple[int, str, str], *words: str) -> None:
    status, _, err = run
    assert status == 1
    assert err.startswith("cs3g: error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


ROLES = pytest.mark.parametrize("role", ["student", "teacher"])


@ROLES
def test_gaps_have_no_score_and_no_other_effect(
    cs3g: Run, artifacts: dict[str, Path], tmp_path: Path, role: str
) -> None:
    panel = make_panel()
    day = FIRST + timedelta(days=30)
    absent = (pl.col("symbol") == "S03") & pl.col("date").is_between(day, day + timedelta(days=4))
    silent = (pl.col("symbol") == "S04") & (pl.col("date") == day)
    gaps = panel.filter(~absent).with_columns(volume=pl.when(silent).then(0).otherwise(pl.col("volume")))
    scores = score(cs3g, artifacts[role], gaps, tmp_path)
    assert len(scores) == DAYS * SYMBOLS - 6
    back = scores.filter(pl.col("symbol") == "S03")
    assert len(back) == DAYS - 5
    # A week in which nobody traded is no window.
    week = panel.filter(~pl.col("date").is_between(day, day + timedelta(days=6)))
    assert score(cs3g, artifacts[role], week, tmp_path)["ts_close"].n_unique() == DAYS - 7


@ROLES
def test_one_instrument_stands_nowhere(
    cs3g: Run, artifacts: dict[str, Path], tmp_path: Path, role: str
) -> None:
    scores = score(cs3g, artifacts[role], make_panel(symbols=1), tmp_path)
    assert len(scores) == DAYS
    # Features are relative to the others of a window: without others they are 0, and the score says nothing.
    later = scores["score"][20:]
    assert later.max() - later.min() < 1e-2  # type: ignore[operator]


@ROLES
def test_constant_prices_are_scored(cs3g: Run, artifacts: dict[str, Path], tmp_path: Path, role: str) -> None:
    flat = make_panel().with_columns(**{name: pl.lit(10.0) for name in ("open", "high", "low", "close")})
    assert len(score(cs3g, artifacts[role], flat, tmp_path)) == DAYS * SYMBOLS
    same = flat.with_columns(volume=pl.lit(100))
    scores = score(cs3g, artifacts[role], same, tmp_path)
    # Nothing tells one from another but their graph, of which there is none.
    spread = scores.group_by("ts_close").agg(pl.col("score").max() - pl.col("score").min())["score"]
    assert spread.max() < 1e-6


@ROLES
def test_an_unknown_relation_and_unknown_symbols_are_ignored(
    cs3g: Run, artifacts: dict[str, Path], tmp_path: Path, role: str
) -> None:
    plain = score(cs3g, artifacts[role], make_panel(), tmp_path)
    pairs = [("S00", "S01", "friendship"), ("S02", "NOBODY", "friendship"), ("S03", "S05", "rivalry")]
    pl.DataFrame(pairs, schema=["symbol_a", "symbol_b", "relation"], orient="row").write_csv(
        tmp_path / "pairs.csv"
    )
    related = score(cs3g, artifacts[role], make_panel(), tmp_path, "--relations", tmp_path / "pairs.csv")
    assert related.equals(plain)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbol_a,symbol_b,relation\n", ("no pair",)),
        ("symbol_a,relation\nS00,x\n", ("symbol_a, relation",)),
        ("symbol_a,symbol_b,relation\nS00,S00,x\n", ("row 1", "symbol_b")),
        ("symbol_a,symbol_b,relation,weight\nS00,S01,x,nan\n", ("row 1", "weight")),
        ("symbol_a,symbol_b,relation,weight\nS00,S01,x,7\n", ("row 1", "weight", "-1..1")),
        ("symbol_a,symbol_b,relation\nS00,S01,correlation\n", ("row 1", "relation")),
        ("symbol,sector\nS00,Oil\nS00,Tech\n", ("row 2", "sector")),
    ],
)
def test_bad_relations_are_refused(
    cs3g: Run, artifacts: dict[str, Path], tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    make_panel().write_parquet(tmp_path / "panel.parquet")
    (tmp_path / "pairs.csv").write_text(text)
    run = cs3g(
        "score", "--model", artifacts["student"], "--data", tmp_path / "panel.parquet",
        "--relations", tmp_path / "pairs.csv", "--out", tmp_path / "scores.parquet",
    )  # fmt: skip
    refused(run, "pairs.csv", *words)
    assert not (tmp_path / "scores.parquet").exists()


def bad_panels() -> dict[str, tuple[pl.DataFrame, tuple[str, ...]]]:
    panel = make_panel()
    spot = (pl.col("symbol") == "S03") & (pl.col("date") == FIRST)
    adjusted = panel.with_columns(adjusted_close=pl.col("close"))

    def with_value(frame: pl.DataFrame, name: str, value: float | None) -> pl.DataFrame:
        changed = pl.when(spot).then(pl.lit(value, dtype=pl.Float64)).otherwise(pl.col(name))
        return frame.with_columns(changed.alias(name))

    return {
        "empty": (panel.clear(), ("panel.parquet",)),
        "no volume": (panel.with_columns(volume=pl.lit(0)), ("panel.parquet",)),
        "nan": (with_value(panel, "close", float("nan")), ("row 4", "`close`", "nan")),
        "null": (with_value(panel, "open", None), ("row 4", "`open`")),
        "infinite": (with_value(panel, "close", float("inf")), ("row 4", "`close`", "inf")),
        "negative": (with_value(panel, "low", -1.0), ("row 4", "`low`", "-1")),
        "nan adjusted": (with_value(adjusted, "adjusted_close", float("nan")), ("row 4", "`adjusted_close`")),
        "zero adjusted": (with_value(adjusted, "adjusted_close", 0.0), ("row 4", "`adjusted_close`")),
        "twice": (pl.concat([panel, panel[7:8]]), (f"row {len(panel) + 1}", "S07", "already")),
        "no close": (panel.drop("close"), ("date, symbol, open, high, low, volume",)),
        "no date": (panel.drop("date"), ("columns",)),
        "text": (panel.with_columns(close=pl.lit("dear")), ("`close`", "numbers")),
    }


@pytest.mark.parametrize("mistake", bad_panels())
def test_a_bad_panel_is_refused_by_scoring(
    cs3g: Run, artifacts: dict[str, Path], tmp_path: Path, mistake: str
) -> None:
    panel, words = bad_panels()[mistake]
    panel.write_parquet(tmp_path / "panel.parquet")
    out = tmp_path / "scores.parquet"
    run = cs3g("score", "--model", artifacts["student"], "--data", tmp_path / "panel.parquet", "--out", out)
    refused(run, *words)
    assert not out.exists()


@pytest.mark.parametrize("mistake", [*bad_panels(), "one", "short", "one is left", "flat"])
def test_a_bad_panel_is_refused_by_training(cs3g: Run, tmp_path: Path, mistake: str) -> None:
    prices = ("open", "high", "low", "close")
    more = {
        "one": (make_panel(symbols=1), ("two instruments",)),
        "short": (make_panel(days=10), ("10 windows", "18")),
        "one is left": (
            make_panel().filter((pl.col("date") < date(2020, 1, 31)) | (pl.col("symbol") == "S00")),
            ("no window from 30 to 40", "two instruments"),
        ),
        "flat": (make_panel().with_columns(**{name: pl.lit(10.0) for name in prices}), ("different labels",)),
    }
    panel, words = (bad_panels() | more)[mistake]
    panel.write_parquet(tmp_path / "panel.parquet")
    run = cs3g(
        "train", "teacher", "--data", tmp_path / "panel.parquet", "--out", tmp_path / "models",
        "--train-end", "2020-01-30", "--valid-end", "2020-02-10", "--epochs", "1",
    )  # fmt: skip
    refused(run, *words)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("is_adjusted", [True, False])
def test_a_split_of_1000_to_1(
    cs3g: Run, artifacts: dict[str, Path], tmp_path: Path, is_adjusted: bool
) -> None:
    day = FIRST + timedelta(days=30)
    split = pl.when((pl.col("symbol") == "S03") & (pl.col("date") >= day))
    prices = ("open", "high", "low", "close")
    adjusted = make_panel().with_columns(adjusted_close=pl.col("close"))
    panel = adjusted.with_columns(
        *(split.then(pl.col(name) / 1000).otherwise(pl.col(name)).alias(name) for name in prices),
        volume=split.then(pl.col("volume") * 1000).otherwise(pl.col("volume")),
    )
    for role in ("student", "teacher"):
        smooth = score(cs3g, artifacts[role], adjusted, tmp_path)
        found = score(cs3g, artifacts[role], panel if is_adjusted else panel.drop("adjusted_close"), tmp_path)
        assert len(found) == len(smooth)
        far = (found["score"] - smooth["score"]).abs().max()
        if is_adjusted:
            assert far < 1e-3
        else:
            # One return of -99.9 %, cut at the limit; the others of that day do not notice.
            before = found["ts_close"] <= np.datetime64(day, "ns").astype(np.int64)
            assert found.filter(before).equals(smooth.filter(before))
    run = PanelFile(str(tmp_path / "panel.parquet")).graph_run()
    assert np.isfinite(run.features).all()
    assert np.abs(run.neighbor_weights).max() <= 1
    assert pytest.approx(0.4) == RETURN_LIMIT


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("weights", ("model.safetensors", "sha256", "train the model again")),
        ("manifest", ("manifest.json", "hashes to")),
        ("version", ("artifact_version", "99", "update cs3g")),
        ("features", ("manifest.json",)),
        ("truncated", ("sha256",)),
        ("no manifest", ("manifest.json",)),
        ("no json", ("manifest.json",)),
    ],
)
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_an_artifact_that_was_changed_is_refused(
    cs3g: Run, artifacts: dict[str, Path], tmp_path: Path, role: str, damage: str, words: tuple[str, ...]
) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(artifacts[role], folder)
    weights, manifest = folder / "model.safetensors", folder / "manifest.json"
    values = json.loads(manifest.read_text())
    if damage == "weights":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-8])
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "no json":
        manifest.write_text("{")
    else:
        change = {
            "manifest": {"seed": 7},
            "version": {"artifact_version": 99, "something_new": True},
            "features": {"feature_schema_version": 99},
        }
        manifest.write_text(json.dumps(values | change[damage]))
    make_panel().write_parquet(tmp_path / "panel.parquet")
    out = tmp_path / "scores.parquet"
    refused(cs3g("score", "--model", folder, "--data", tmp_path / "panel.parquet", "--out", out), *words)
    assert not out.exists()
