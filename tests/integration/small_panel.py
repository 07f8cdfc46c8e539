"""A small daily panel as files, and the options by which a command is trained on it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

DAYS, SYMBOLS = 60, 12

SETTINGS = """
[model]
width = 8
[train]
chunk = 6
epochs = 2
checks = 1
"""


def write_panel(folder: Path) -> list[str]:
    """Write panel, sectors and settings; returns the options that name them and cut the days."""
    g = np.random.default_rng(0)
    closes = 100 * np.exp(np.cumsum(0.02 * g.standard_normal((DAYS, SYMBOLS)), axis=0))
    symbols = [f"S{n:02d}" for n in range(SYMBOLS)]
    pl.DataFrame(
        {
            "date": [date(2020, 1, 1) + timedelta(days=t) for t in range(DAYS) for _ in symbols],
            "symbol": symbols * DAYS,
            "open": (closes * 0.99).ravel(),
            "high": (closes * 1.02).ravel(),
            "low": (closes * 0.98).ravel(),
            "close": closes.ravel(),
            "volume": g.integers(1000, 9000, DAYS * SYMBOLS),
        }
    ).write_parquet(folder / "panel.parquet")
    pl.DataFrame({"symbol": symbols, "sector": ["A", "B", "C"] * (SYMBOLS // 3)}).write_parquet(
        folder / "sectors.parquet"
    )
    (folder / "small.toml").write_text(SETTINGS)
    options = {
        "--data": folder / "panel.parquet",
        "--relations": folder / "sectors.parquet",
        "--config": folder / "small.toml",
        "--train-end": "2020-02-05",
        "--valid-end": "2020-02-20",
        "--test-end": "2020-02-29",
    }
    return [str(text) for pair in options.items() for text in pair]
