"""`cs3g evaluate` gives the numbers of the protocol's own script, where that lies beside the repository.

The script's folder is `../shared/protocol`, or what CS3G_PROTOCOL names. It runs in its own process; panels of our
making reach it as parquet files that its table of panels is told of.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from cs3g.cli import app
from tests.shared_data import SHARED

PROTOCOL = Path(os.environ.get("CS3G_PROTOCOL", SHARED.parent / "protocol"))
SP500 = SHARED / "daily" / "us_sp500_2013_2021.parquet"
TOLERANCE = 1e-9

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not (PROTOCOL / "evaluate.py").is_file(), reason="../shared/protocol is not there"),
]

# Judges every case of the JSON on stdin: panel's settings, files, the others' files, split, horizon.
SCRIPT = """
import json, sys
from datetime import date
import panel
from evaluate import evaluate_files
request = json.load(sys.stdin)
if request["data"]:
    panel.DATA = request["data"]
for name, cfg in request["panels"].items():
    parts = {part: tuple(date.fromisoformat(day) for day in cfg[part]) for part in ("train", "valid", "test")}
    panel.PANELS[name] = dict(
        adj="adjusted_close", group=("sectors", "sector"), limit=cfg["limit"], market_dim=8, **parts
    )
loaded = {}
out = []
for name, files, others, split, horizon in request["cases"]:
    if name not in loaded:
        loaded[name] = panel.Panel(name, features=False)
    out.append(evaluate_files(files, loaded[name], split, horizon, others or None))
json.dump(out, sys.stdout)
"""


def ask_protocol(
    cases: list[list[Any]], data: Path | None = None, panels: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    request = {"data": None if data is None else str(data), "panels": panels or {}, "cases": cases}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(request, default=str),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(PROTOCOL), "MARKETDATA": str(SHARED / "daily")},
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def ask_command(*arguments: str | Path) -> dict[str, Any]:
    result = CliRunner().invoke(
        app, ["evaluate", *map(str, arguments), "--json", "-"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["n"] == theirs["n"]
    for part in ("mean", "std"):
        assert set(theirs[part]) <= set(ours[part])
        for name, value in theirs[part].items():
            assert ours[part][name] == pytest.approx(value, abs=TOLERANCE, rel=0), (part, name)
    for mine, row in zip(ours["per_file"], theirs["per_file"], strict=True):
        for name, value in row.items():
            assert mine[name] == pytest.approx(value, abs=TOLERANCE, rel=0), name
    np.testing.assert_allclose(ours["ric_daily"], theirs["ric_daily"], rtol=0, atol=TOLERANCE)
    for name, value in theirs.get("vs", {}).items():
        assert ours["vs"][name] == pytest.approx(value, abs=TOLERANCE, rel=0), name


def write_scores(folder: Path, panel: pl.DataFrame, seed: int) -> dict[str, str]:
    """Write reversal, reversal with noise, rounded so that there are ties, with holes, and noise alone."""
    past = pl.col("adjusted_close").cast(pl.Float64)
    frame = panel.filter(pl.col("volume") > 0).sort("symbol", "date")
    frame = frame.with_columns(score=-(past / past.shift(1).over("symbol") - 1).fill_null(0.0))
    noise = np.random.default_rng(seed).standard_normal((2, len(frame)))
    frame = frame.select("date", "symbol", "score").with_columns(
        pl.Series("noise", noise[0]), pl.Series("other", noise[1])
    )
    kinds = {
        "reversal": pl.col("score"),
        "noisy": pl.col("score") + 0.01 * pl.col("noise"),
        "ties": pl.col("score").round(2),
        "noise": pl.col("noise"),
        "holes": pl.when(pl.col("other") > 1.6).then(float("nan")).otherwise(pl.col("score")),
    }
    files = {}
    for kind, score in kinds.items():
        table = frame.select("date", "symbol", score=score)
        files[kind] = str(folder / f"{kind}.parquet")
        (table if kind != "holes" else table.filter(pl.col("symbol") != "AAPL")).write_parquet(files[kind])
    return files


@pytest.mark.skipif(not SP500.is_file(), reason="../shared/data is not there")
def test_the_sp500_panel(tmp_path: Path) -> None:
    columns = ["date", "symbol", "adjusted_close", "volume"]
    files = write_scores(tmp_path, pl.read_parquet(SP500, columns=columns), 0)
    seeds, other = [files["reversal"], files["noisy"]], files["ties"]
    (theirs,) = ask_protocol([["us_sp500_2013_2021", seeds, [other], "test", 1]])
    test_part = ("--data", SP500, "--from", "2019-01-01", "--to", "2021-04-30")
    assert_same(ask_command(*seeds, *test_part, "--vs", other), theirs)


@pytest.mark.parametrize(("symbols", "limit"), [(130, None), (130, 0.02), (105, 0.03)])
def test_a_market_with_suspensions_and_price_limits(
    tmp_path: Path, symbols: int, limit: float | None
) -> None:
    panel = generated_panel(symbols, days=110)
    panel.write_parquet(tmp_path / "generated.parquet")
    symbol = panel["symbol"].unique().sort()
    pl.DataFrame({"symbol": symbol, "sector": ["one"] * len(symbol)}).write_parquet(
        tmp_path / "sectors.parquet"
    )
    files = write_scores(tmp_path, panel, 1)
    parts = {"train": ("2020-01-01", "2020-02-10"), "valid": ("2020-02-11", "2020-02-28")}
    settings = parts | {"test": ("2020-03-01", "2020-12-31"), "limit": limit}
    cases = [
        ["generated", [files["noisy"], files["holes"]], [files["noise"]], "test", 1],
        ["generated", [files["ties"]], [], "test", 5],
        ["generated", [files["noise"]], [], "test", 101],
        ["generated", [files["reversal"]], [], "valid", 1],
    ]
    theirs = ask_protocol(cases, tmp_path, {"generated": settings})
    part = ("--data", tmp_path / "generated.parquet", "--test-start", "2020-03-01", "--min-names", "100")
    limits = () if limit is None else ("--price-limit", limit)
    assert theirs[0]["mean"]["days"] > 30
    assert_same(
        ask_command(files["noisy"], files["holes"], *part, *limits, "--vs", files["noise"]), theirs[0]
    )
    assert_same(ask_command(files["ties"], *part, *limits, "--horizon", "5"), theirs[1])


def generated_panel(symbols: int, days: int) -> pl.DataFrame:
    g = np.random.default_rng(symbols)
    close = 20 * np.exp(np.cumsum(0.02 * g.standard_normal((days, symbols)), axis=0))
    close[60:, 3] *= 0.5  # a split, adjusted below
    factor = np.ones((days, symbols))
    factor[:60, 3] = 0.5
    # Suspended, gone from the table, and back.
    volume = np.where(g.random((days, symbols)) < 0.002, 0, g.integers(1, 1000, (days, symbols)))
    missing = np.zeros((days, symbols), np.bool_)
    missing[70:75, 5] = True
    t, n = np.nonzero(~missing)
    weekdays = [date(2020, 1, 1) + timedelta(days=d) for d in range(2 * days)]
    weekdays = [day for day in weekdays if day.weekday() < 5]
    return pl.DataFrame(
        {
            "date": pl.Series([weekdays[d] for d in t]),
            "symbol": [f"S{i:03d}" for i in n],
            **{name: close[t, n].astype(np.float32) for name in ("open", "high", "low", "close")},
            "adjusted_close": (close * factor)[t, n].astype(np.float32),
            "volume": volume[t, n],
        }
    )
