"""A market with price limits, suspensions, splits and relations of its own, from training to scores and their report.

A name that is suspended has no score on that day, whichever way the vendor writes a suspension; all scores are
finite; and what a model is fitted to read of the relations file is what its manifest says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.unseen.awkward import PRICE_LIMIT, AwkwardMarket, awkward_market
from cs3g_model.artifacts import load_artifact
from tests.integration.command_line import Run

DAYS, NAMES = 90, 16

SETTINGS = """
[model]
width = 8
[train]
epochs = 1
checks = 1
"""


@dataclass(frozen=True)
class Files:
    market: AwkwardMarket
    folder: Path

    def options(self) -> list[str]:
        ends = {"train": 60, "valid": 70, "test": DAYS}
        dates = [text for part, t in ends.items() for text in (f"--{part}-end", self.market.dates[t - 1])]
        return [*self.data(), "--out", str(self.folder / "models"), *dates]

    def data(self) -> list[str]:
        relations = ["--relations", str(self.folder / "relations.csv")]
        return ["--data", str(self.folder / "panel.parquet"), *relations]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("awkward")
    market = awkward_market(NAMES, DAYS)
    market.panel.write_parquet(folder / "panel.parquet")
    market.relations.write_csv(folder / "relations.csv")
    (folder / "small.toml").write_text(SETTINGS)
    return Files(market, folder)


def fitted(cs3g: Run, *arguments: object) -> Path:
    status, out, err = cs3g(*arguments)
    assert status == 0, err
    return Path(out.strip().splitlines()[-1])


def scored(cs3g: Run, files: Files, model: Path) -> Path:
    out = files.folder / f"{model.name}.parquet"
    status, _, err = cs3g("score", "--model", model, *files.data(), "--out", out)
    assert status == 0, err
    return out


def test_the_market_is_as_awkward_as_it_says(files: Files) -> None:
    market, panel = files.market, files.market.panel
    present = np.zeros_like(market.traded)
    traded = panel.filter(pl.col("volume") > 0)
    raw = traded.select(pl.col("close") / pl.col("close").shift(1).over("symbol") - 1)["close"]
    assert raw.abs().max() > 0.99  # type: ignore[operator]
    t = traded["date"].cast(pl.String).replace_strict(dict(zip(market.dates, range(DAYS), strict=True)))
    n = traded["symbol"].replace_strict(dict(zip(market.symbols, range(NAMES), strict=True)))
    present[t.to_numpy(), n.to_numpy()] = True
    np.testing.assert_array_equal(present, market.traded)
    assert market.at_limit.sum() > 20
    closes = np.full(present.shape, np.nan)
    closes[t.to_numpy(), n.to_numpy()] = traded["adjusted_close"].to_numpy()
    assert np.nanmax(np.abs(closes[1:] / closes[:-1] - 1)) <= PRICE_LIMIT + 1e-9
    # Suspensions have no row, a row without volume, or a row of empty cells.
    assert len(panel) < DAYS * NAMES
    assert (panel["volume"] == 0).any()
    assert panel["close"].null_count() > 0


def test_from_training_to_the_report(cs3g: Run, files: Files) -> None:
    small = ["--config", str(files.folder / "small.toml")]
    teacher = fitted(cs3g, "train", "teacher", *files.options(), *small)
    student = fitted(cs3g, "distill", "--teacher", teacher, *files.options(), *small)
    budget = ("--budget-bytes", 4096, "--qat-epochs", 0)
    packed = fitted(cs3g, "compress", "--student", student, "--teacher", teacher, *budget, *files.options())
    market = files.market
    stands_on = {day: t for t, day in enumerate(market.dates)}
    paths = []
    for model in (teacher, student, packed):
        read = load_artifact(model).manifest.config["relations"]
        assert read == ["sector", "shareholder", "supply", "correlation", "lead"]
        paths.append(scored(cs3g, files, model))
        scores = pl.read_parquet(paths[-1])
        assert scores["score"].is_finite().all()
        # A window closes at the midnight that ends its day.
        opened = pl.from_epoch(scores["ts_close"] - 86_400 * 10**9, time_unit="ns").dt.date().cast(pl.String)
        has_score = np.zeros_like(market.traded)
        t = opened.replace_strict(stands_on).to_numpy()
        n = scores["symbol"].replace_strict({name: i for i, name in enumerate(market.symbols)}).to_numpy()
        has_score[t, n] = True
        np.testing.assert_array_equal(has_score, market.traded)
    report = files.folder / "report.json"
    status, _, err = cs3g(
        "evaluate", paths[1], *files.data(), "--part", "test", "--valid-end", market.dates[69], "--vs", paths[0],
        "--price-limit", 0.098, "--min-names", 5, "--json", report,
    )  # fmt: skip
    assert status == 0, err
    found = json.loads(report.read_text())
    assert found["mean"]["coverage"] == 1.0
    assert all(np.isfinite(value) for value in found["mean"].values())
    # It takes 17 days without a gap to count, so fewer count than trade.
    assert 5 <= found["panel"]["names_a_window"] < market.traded[70:].sum(axis=1).mean()


def test_the_same_arguments_give_the_same_market(files: Files) -> None:
    again = awkward_market(NAMES, DAYS)
    assert again.panel.equals(files.market.panel)
    assert again.relations.equals(files.market.relations)
    assert not awkward_market(NAMES, DAYS, seed=1).panel.equals(files.market.panel)
