"""Nothing after a window changes a feature, an edge or a score up to it, from the raw file to both models.

Panels go the way that training and `cs3g score` take: a parquet file, the readers of `replay`, the windows and
graphs of the pipeline, the runtimes that serve. Weights are random: what training could still learn to read early
would show.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cs3g.panel_data import PanelFile, next_returns
from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.protocol import StreamingModel
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.teacher_runtime import TeacherRuntime
from pipeline.graphs import snapshots_of
from tests.unit.cs3g_model.factories import student_module, teacher_module, tensors_of
from topics.runs import GraphRun

DAYS, SYMBOLS = 60, 14
READS = ("sector", "correlation", "lead", "supply")
PRICES = ("open", "high", "low", "close", "adjusted_close")
FIRST = date(2020, 1, 1)


def make_models() -> list[StreamingModel]:
    teacher = TeacherConfig(
        width=8, layers=2, state_size=3, heads=2, rank=3, edges=4, dropout=0.0, relations=READS
    )
    student = StudentConfig(width=6, state_size=3, rank=4, relations=READS)
    return [
        TeacherRuntime(teacher, tensors_of(teacher_module(teacher, seed=1)), "feedfacefeedface"),
        StudentRuntime(student, tensors_of(student_module(student, seed=1)), "feedfacefeedface"),
    ]


@pytest.fixture(scope="module")
def models() -> list[StreamingModel]:
    return make_models()


def make_panel(seed: int) -> pl.DataFrame:
    """Return a market with gaps, an instrument that comes late and one that leaves, dividends and a split."""
    g = np.random.default_rng(seed)
    close = 80 * np.exp(np.cumsum(0.03 * g.standard_normal((DAYS, SYMBOLS)), axis=0))
    adjusted = 0.9 * close
    close[:20, 3] *= 4
    there = g.random((DAYS, SYMBOLS)) < 0.95
    there[:25, 5] = there[40:, 6] = False
    t, n = np.nonzero(there)
    spread = 1 + 0.02 * g.random((2, len(t)))
    return pl.DataFrame(
        {
            "date": pl.Series([FIRST + timedelta(days=int(day)) for day in t]),
            "symbol": [f"S{i:02d}" for i in n],
            "open": close[t, n] * g.uniform(0.99, 1.01, len(t)),
            "high": close[t, n] * spread[0],
            "low": close[t, n] / spread[1],
            "close": close[t, n],
            "adjusted_close": adjusted[t, n],
            "volume": g.integers(100, 100_000, len(t)),
        }
    )


def randomized_after(panel: pl.DataFrame, t0: int, seed: int) -> pl.DataFrame:
    """Return other prices, volumes and absences after a day, and the same symbols."""
    g = np.random.default_rng(seed)
    later = pl.col("date") > FIRST + timedelta(days=t0)
    factor = pl.Series(np.exp(g.standard_normal(len(panel))))
    changed = panel.with_columns(
        *(pl.when(later).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name) for name in PRICES),
        volume=pl.when(later).then(pl.Series(g.integers(0, 10**7, len(panel)))).otherwise(pl.col("volume")),
    )
    return changed.filter(
        ~later | pl.Series(g.random(len(panel)) < 0.8) | pl.Series(np.arange(len(panel)) % 9 == 0)
    )


def write_relations(folder: Path) -> Path:
    path = folder / "relations.csv"
    symbols = [f"S{i:02d}" for i in range(SYMBOLS)]
    rows = [(a, b, "sector", 1.0) for a in symbols[:4] for b in symbols[:4] if a < b]
    rows += [
        (symbols[i], symbols[(3 * i + 1) % SYMBOLS], "supply", 0.5 - i / SYMBOLS) for i in range(SYMBOLS)
    ]
    pl.DataFrame(
        [row for row in rows if row[0] != row[1]],
        schema=["symbol_a", "symbol_b", "relation", "weight"],
        orient="row",
    ).write_csv(path)
    return path


def run_of(panel: pl.DataFrame, folder: Path) -> GraphRun:
    path = folder / "panel.parquet"
    panel.write_parquet(path)
    return PanelFile(str(path), write_relations(folder)).graph_run()


def scores_of(model: StreamingModel, run: GraphRun) -> np.ndarray:
    scores, _ = model.step_many(snapshots_of(run), model.initial_state(run.mask.shape[1]))
    return scores


def cells(run: GraphRun, values: np.ndarray, until: int) -> dict[tuple[int, str], bytes]:
    """Return every present instrument's values by window and symbol, up to a window's end."""
    rows = np.flatnonzero(run.ts_close <= until)
    return {
        (int(run.ts_close[t]), run.symbols[n]): values[t, n].tobytes()
        for t in rows
        for n in np.flatnonzero(run.mask[t])
    }


def edges(run: GraphRun, until: int) -> set[tuple[int, str, str, str, bytes]]:
    """Return every edge by window, relation, source and destination, with the bytes of its weight."""
    kinds = np.repeat([name for name, _ in run.relations], [width for _, width in run.relations])
    found = set()
    for t in np.flatnonzero(run.ts_close <= until):
        for n, k in zip(*np.nonzero(run.neighbors[t] >= 0), strict=True):
            source, weight = run.symbols[run.neighbors[t, n, k]], run.neighbor_weights[t, n, k].tobytes()
            found.add((int(run.ts_close[t]), str(kinds[k]), source, run.symbols[n], weight))
    return found


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**16), t0=st.integers(8, DAYS - 5))
def test_what_comes_after_changes_nothing_before(
    tmp_path_factory: pytest.TempPathFactory, models: list[StreamingModel], seed: int, t0: int
) -> None:
    folder = tmp_path_factory.mktemp("panel")
    panel = make_panel(seed)
    before = run_of(panel, folder)
    after = run_of(randomized_after(panel, t0, seed + 1), folder)
    until = int((np.datetime64(FIRST, "ns").astype(np.int64)) + (t0 + 1) * 86_400_000_000_000)

    for name in ("features", "close"):
        one, other = (cells(run, getattr(run, name), until) for run in (before, after))
        assert len(one) > 8 * t0
        assert one == other, name
    assert edges(before, until) == edges(after, until)
    if t0 > 40:
        assert {kind for _, kind, *_ in edges(before, until)} == {"correlation", "lead", "supply"}
    for model in models:
        one, other = (cells(run, scores_of(model, run), until) for run in (before, after))
        assert one == other, model.role
        assert len(set(one.values())) > len(one) / 2  # they say something
        assert cells(before, scores_of(model, before), 2**62) != cells(after, scores_of(model, after), 2**62)


def test_the_last_label_of_a_window_is_all_that_looks_ahead(tmp_path: Path) -> None:
    panel, t0 = make_panel(3), 35
    before, after = run_of(panel, tmp_path), run_of(randomized_after(panel, t0, 4), tmp_path)
    labels = [
        next_returns(run)[:, [run.symbols.index(f"S{i:02d}") for i in range(SYMBOLS)]]
        for run in (before, after)
    ]
    np.testing.assert_array_equal(labels[0][:t0], labels[1][:t0])
    assert not np.array_equal(labels[0][t0], labels[1][t0], equal_nan=True)


def test_an_instrument_that_comes_later_changes_nobodys_past(
    tmp_path: Path, models: list[StreamingModel]
) -> None:
    panel, t0 = make_panel(5), 24
    until = int(np.datetime64(FIRST, "ns").astype(np.int64) + (t0 + 1) * 86_400_000_000_000)
    with_it = run_of(panel, tmp_path)  # S05 comes on day 25
    without = run_of(panel.filter(pl.col("symbol") != "S05"), tmp_path)
    assert len(with_it.symbols) == len(without.symbols) + 1
    assert cells(with_it, with_it.features, until) == cells(without, without.features, until)
    assert edges(with_it, until) == edges(without, until)
    for model in models:
        one, other = (cells(run, scores_of(model, run), until) for run in (with_it, without))
        assert one == other, model.role


@pytest.mark.parametrize("column", ["adjusted_close", None])
def test_the_level_of_prices_tells_a_model_nothing(
    tmp_path: Path, models: list[StreamingModel], column: str | None
) -> None:
    """A vendor rescales the whole adjusted history at every later dividend: that must not show in the past."""
    # Many shares, since adjusted volumes are rounded to whole ones.
    panel = make_panel(7).with_columns(volume=pl.col("volume") * 1000)
    factors = np.random.default_rng(8).uniform(0.2, 5, SYMBOLS)
    by_symbol = pl.Series([factors[int(symbol[1:])] for symbol in panel["symbol"]])
    if column is None:
        panel = panel.drop("adjusted_close")
        rescaled = panel.with_columns(
            *((pl.col(name) * by_symbol).alias(name) for name in PRICES[:-1]),
            volume=(pl.col("volume") / by_symbol).round().cast(pl.Int64),
        )
    else:
        rescaled = panel.with_columns((pl.col(column) * by_symbol).alias(column))
    before, after = run_of(panel, tmp_path), run_of(rescaled, tmp_path)
    assert before.symbols == after.symbols
    np.testing.assert_allclose(after.features, before.features, atol=2e-3)
    for model in models:
        one, other = scores_of(model, before), scores_of(model, after)
        assert np.corrcoef(one[before.mask], other[before.mask])[0, 1] > 0.999
