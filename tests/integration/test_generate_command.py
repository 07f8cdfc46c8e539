"""`cs3g generate`: its files are what the other commands read, and say what was planted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from cs3g.commands import generate
from cs3g.panel_data import PanelFile
from replay.errors import ConfigError
from replay.generator.config import MarketConfig
from replay.generator.market import generate_market

app = typer.Typer()
app.command("generate")(generate.generate)

OPTIONS = ("--instruments", "12", "--windows", "90", "--seed", "5")


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    line = run("--out", folder, *OPTIONS, "--ticks", "4")
    assert "12 instruments x 90 windows, seed 5; the oracle's rank IC in the last 17 is" in line
    return folder


@pytest.fixture(scope="module")
def config() -> MarketConfig:
    return MarketConfig(instruments=12, windows=90, seed=5)


def test_the_panel_is_read_as_it_was_generated(folder: Path, config: MarketConfig) -> None:
    market = generate_market(config)
    panel = PanelFile(str(folder / "panel.parquet"), folder / "sectors.parquet").graph_run()
    assert panel.symbols == market.names.symbols
    assert (panel.ts_close == market.ts_close).all()
    assert panel.mask.all()
    assert (panel.close == np.rint(market.bars.close * 1e9)).all()
    same_sector = panel.sector[:, None] == panel.sector[None]
    assert (same_sector == (market.names.sector[:, None] == market.names.sector[None])).all()


def test_ticks_make_the_closes_of_the_panel(folder: Path) -> None:
    from_ticks = PanelFile(str(folder / "ticks.dbn"), window_ns=86_400_000_000_000).graph_run()
    from_bars = PanelFile(str(folder / "panel.parquet")).graph_run()
    assert from_ticks.symbols == from_bars.symbols
    assert (from_ticks.ts_close == from_bars.ts_close).all()
    assert (from_ticks.close == from_bars.close).all()


def test_truth_is_written_as_it_was_planted(folder: Path, config: MarketConfig) -> None:
    market = generate_market(config)
    symbols = market.names.symbols
    written = pl.read_parquet(folder / "truth_edges.parquet")
    expected = [
        (e[0], e[1], symbols[e.source], symbols[e.destination], e.weight) for e in market.graph.edges()
    ]
    assert written.drop("regime").rows() == expected
    assert written["regime"].unique().sort().to_list() == [0, 1, 2]
    oracle = pl.read_parquet(folder / "oracle.parquet")
    assert oracle.columns == ["ts_close", "symbol", "score"]
    assert oracle["score"].to_numpy().tobytes() == market.oracle.tobytes()
    assert oracle["symbol"].to_list() == list(symbols) * 90
    assert (oracle["ts_close"].to_numpy().reshape(90, 12) == market.ts_close[:, None]).all()


def test_the_summary_names_files_splits_and_the_oracle(folder: Path, config: MarketConfig) -> None:
    summary = json.loads((folder / "market.json").read_text())
    names = {"panel.parquet", "sectors.parquet", "truth_edges.parquet", "oracle.parquet", "ticks.dbn"}
    assert set(summary["sha256"]) == names == {path.name for path in folder.iterdir()} - {"market.json"}
    for name, digest in summary["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert summary["config"]["instruments"] == 12
    assert {name: split["stop"] for name, split in summary["splits"].items()} == {
        "train": 58,
        "valid": 72,
        "test": 90,
    }
    dates = pl.read_parquet(folder / "panel.parquet")["date"].unique().sort()
    assert summary["splits"]["train"]["last_date"] == str(dates[57])
    assert summary["changes"] == [{"window": t, "date": str(dates[t])} for t in config.change_windows]
    series = generate_market(config).oracle_rank_ic()
    assert summary["oracle_rank_ic"]["test"]["mean"] == pytest.approx(np.nanmean(series[72:]))
    assert summary["oracle_rank_ic"]["all"]["windows"] == 89


def test_the_same_seed_writes_the_same_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "market.toml").write_text("[market]\ninstruments = 12\nwindows = 70\nseed = 9\n")
    options = ("--config", tmp_path / "market.toml", "--windows", "90", "--seed", "5", "--ticks", "4")
    again = json.loads(run("--out", tmp_path / "again", *options, "--json"))
    other = json.loads(run("--out", tmp_path / "other", *OPTIONS[:4], "--seed", "6", "--json"))
    summary = json.loads((folder / "market.json").read_text())
    assert again == summary
    assert all(digest != summary["sha256"][name] for name, digest in other["sha256"].items())


def test_minutes_are_written_as_bars(tmp_path: Path) -> None:
    options = ("--instruments", "3", "--windows", "400", "--window", "1m")
    run("--out", tmp_path, *options, "--ticks", "5", "--ticks-format", "parquet")
    bars = PanelFile(str(tmp_path / "panel.parquet"), tmp_path / "sectors.parquet").graph_run()
    assert bars.size_ns == 60_000_000_000
    assert bars.mask.shape == (400, 3)
    ticks = PanelFile(str(tmp_path / "ticks.parquet"), window_ns=60_000_000_000).graph_run()
    assert (ticks.close == bars.close).all()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("[market]\nwidth = 3", (), "`width` is no setting"),
        ("[market]\ninstruments = 3.5", (), "`instruments` .*whole number"),
        ("[market]\nstrength = 'much'", (), "`strength` .*list of numbers"),
        ("[market]\ndrift = true", (), "`drift` .*a number"),
        ("[other]", (), "other; allowed is .market."),
        ("[market", (), "cannot be read as TOML"),
        ("", ("--instruments", "0"), "`instruments`"),
        ("", ("--ticks", "3"), "ticks a window"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    tmp_path: Path, text: str, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "market.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        run("--out", tmp_path / "out", "--config", tmp_path / "market.toml", *options)
    assert not (tmp_path / "out").exists()
