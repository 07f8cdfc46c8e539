"""`python -m benchmarks.baselines` from a file to files that `cs3g evaluate` takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.baselines.__main__ import main
from replay.generator.config import MarketConfig
from replay.generator.files import write_panel, write_sectors
from replay.generator.market import generate_market

CONFIG = MarketConfig(instruments=15, windows=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baselines")
    market = generate_market(CONFIG)
    write_panel(market, folder / "panel.parquet")
    write_sectors(market, folder / "sectors.parquet")
    return folder


def options(folder: Path, *more: str) -> list[str]:
    paths = ["--data", str(folder / "panel.parquet"), "--relations", str(folder / "sectors.parquet")]
    return [*paths, "--train-end", "2015-04-17", "--valid-end", "2015-05-15", *more]


def test_scores_of_the_test_part_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out"
    models = ["--models", "reversal,lightgbm,lead_lag", "--seeds", "0,1", "--out", str(out)]
    assert main(options(folder, *models)) == 0
    names = {"reversal_s0", "lightgbm_s0", "lightgbm_s1", "lead_lag_s0"}
    assert {path.stem for path in out.glob("*.parquet")} == names
    report = json.loads((out / "baselines.json").read_text())
    assert {run["file"].removesuffix(".parquet") for run in report["runs"]} == names
    assert report["parts"] == {"train": 58, "valid": 19, "test": 25}
    market = generate_market(CONFIG)
    for name in names:
        frame = pl.read_parquet(out / f"{name}.parquet")
        assert frame.columns == ["ts_close", "symbol", "score"]
        assert frame["score"].is_finite().all()
        assert frame["ts_close"].to_list() == np.repeat(market.ts_close[95:], 15).tolist()
        assert frame["symbol"].to_list() == list(market.names.symbols) * 25
    score = pl.read_parquet(out / "reversal_s0.parquet")["score"].to_numpy().reshape(25, 15)
    close = market.bars.close
    np.testing.assert_allclose(score, 1 - close[95:] / close[94:-1], atol=1e-7)
    assert "validation rank IC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--data": "nowhere.parquet"}, "nowhere.parquet"),
        ({"--valid-end": "2015-04-01"}, "must ascend"),
        ({"--window": "soon"}, "soon"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], message: str
) -> None:
    flat = options(folder)
    arguments = dict(zip(flat[::2], flat[1::2], strict=True)) | change
    assert main([*(text for pair in arguments.items() for text in pair), "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("baselines: error: ")
    assert error.count("\n") == 1


def test_an_unknown_model_is_a_usage_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(options(folder, "--models", "oracle", "--out", str(tmp_path)))
