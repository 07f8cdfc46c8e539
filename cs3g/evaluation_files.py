"""Panels and score files as the arrays that `cs3g_model.evaluation` takes.

Prices go through the very arithmetic of the evaluation protocol, in float64 from the file's own numbers: rounding
them to 1e-9 as ticks are would break or make ties, and so move rank correlations in the sixth digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from cs3g_model.evaluation.calendar import DAY_NS
from cs3g_model.evaluation.panel import MarketPanel
from replay.errors import CorruptFile, EmptyReplay, InvalidRow, MissingFile, SchemaMismatch
from replay.sources.relations import read_relations
from replay.sources.tables import ALIASES
from topics.types import Float64Array, Int64Array

_KINDS: Final = (".parquet", ".csv", ".csv.gz", ".arrow", ".feather")


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """Scores laid on a panel.

    Attributes
    ----------
    scores
        (T, N) float64; NaN for none.
    rows, outside, missing
        Rows of the file; those whose window or symbol the panel lacks; those without a finite score.
    """

    scores: Float64Array
    rows: int
    outside: int
    missing: int


def read_panel(data: str, window: str | None = None) -> MarketPanel:
    """Read a tidy table of bars, or whatever `cs3g score` reads.

    Parameters
    ----------
    data
        A table goes as of `read_table`; the name of an installed data set, and anything else, through the windows
        of the pipeline.
    window
        Length of a window, such as "5m": always through the windows of the pipeline.

    Raises
    ------
    ReplayError
        If the data cannot be read.
    """
    path = Path(data)
    if window is None and path.name.lower().endswith(_KINDS):
        return read_table(path)
    from cs3g.panel_data import PanelFile, parse_window

    run = PanelFile(data, None, parse_window(window)).graph_run()
    present = run.mask & (run.close > 0)
    prices = np.where(present, run.close, np.nan) * 1e-9
    return MarketPanel(run.ts_close - run.size_ns, run.symbols, prices)


def read_table(path: Path) -> MarketPanel:
    """Read a tidy table of date or ts_event, symbol, close and, where there are some, volume and adjusted_close.

    Rows without volume, or without a price above zero, are no rows: the instrument is absent in that window. Where
    the table has no volumes at all, every row with a price counts, as it does when models are fitted.

    Raises
    ------
    MissingFile, CorruptFile
        If there is no such table.
    SchemaMismatch
        If a column is missing or of the wrong kind.
    EmptyReplay
        If no row is left.
    InvalidRow
        If a symbol has two rows in one window.
    """
    frame = _read(path)
    time = _require(path, frame, ("date", "ts_event"), ("symbol", "close"))
    if "volume" not in frame.columns:
        frame = frame.with_columns(volume=pl.lit(1.0))
    adjusted = "adjusted_close" if "adjusted_close" in frame.columns else "close"
    frame = frame.with_columns(
        starts=_days(path, frame["date"]) if time == "date" else _nanoseconds(path, frame["ts_event"]),
        symbol=pl.col("symbol").cast(pl.String),
        **{name: _numbers(path, frame[name]) for name in ("close", "volume", adjusted)},
    )
    price = pl.col("close") * (pl.col(adjusted) / pl.col("close"))
    used = frame.with_row_index("row", offset=1).with_columns(price=price)
    used = used.filter((pl.col("volume") > 0) & pl.col("price").is_finite() & (pl.col("price") > 0))
    if not len(used):
        raise EmptyReplay(f"{path}: none of {len(frame):,} rows has a volume and a price above zero")
    _refuse_blank(path, used, time)
    starts = used["starts"].unique().sort()
    symbols = used["symbol"].unique().sort()
    t, n = _places(used["starts"], starts), _places(used["symbol"], symbols)
    _refuse_twice(path, used, t * len(symbols) + n, "window" if time == "ts_event" else "date")
    prices = np.full((len(starts), len(symbols)), np.nan)
    prices[t, n] = used["price"].to_numpy()
    return MarketPanel(starts.to_numpy(), tuple(symbols.to_list()), prices)


def read_scores(path: Path, panel: MarketPanel) -> ScoreFile:
    """Read a table of date or ts_close, symbol and score, and lay it on a panel.

    A `ts_close` belongs to the window that it ends: it lies after the window's start, by at most its length.

    Raises
    ------
    MissingFile, CorruptFile
        If there is no such table.
    SchemaMismatch
        If a column is missing or of the wrong kind, or nothing lies on the panel.
    EmptyReplay
        If there is no row.
    InvalidRow
        If a symbol has two scores in one window.
    """
    frame = _read(path)
    time = _require(path, frame, ("date", "ts_close"), ("symbol", "score"))
    if time == "date" and panel.bar_ns < DAY_NS:
        raise SchemaMismatch(
            f"{path}: `date` cannot tell the windows of a day apart: the panel is intraday, give `ts_close` in ns"
        )
    frame = frame.select(
        at=_days(path, frame["date"]) if time == "date" else _nanoseconds(path, frame["ts_close"]),
        symbol=pl.col("symbol").cast(pl.String),
        score=_numbers(path, frame["score"]),
    ).with_row_index("row", offset=1)
    if not len(frame):
        raise EmptyReplay(f"{path}: holds no score")
    _refuse_blank(path, frame, time)
    t = _windows(frame["at"].to_numpy(), panel, closes=time == "ts_close")
    n = _places(frame["symbol"], pl.Series(panel.symbols))
    inside = (t >= 0) & (n >= 0)
    if not inside.any():
        raise SchemaMismatch(
            f"{path}: none of {len(inside)} scores lies on the panel: {int((t >= 0).sum())} are of its windows and"
            f" {int((n >= 0).sum())} of its symbols; is it another market, or are the times of another kind?"
        )
    frame, t, n = frame.filter(pl.Series(inside)), t[inside], n[inside]
    _refuse_twice(path, frame, t * len(panel.symbols) + n, "window")
    values = frame["score"].to_numpy()
    scores = np.full(panel.prices.shape, np.nan)
    scores[t, n] = np.where(np.isfinite(values), values, np.nan)
    return ScoreFile(scores, len(inside), int((~inside).sum()), int((~np.isfinite(values)).sum()))


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise MissingFile(f"{path}: no such file")
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            frame = pl.read_parquet(path)
        elif name.endswith((".csv", ".csv.gz")):
            frame = pl.read_csv(path, infer_schema_length=None)
        elif name.endswith((".arrow", ".feather")):
            frame = pl.read_ipc(path)
        else:
            raise CorruptFile(f"{path}: unknown kind of file; tables are {', '.join(_KINDS)}")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorruptFile(f"{path}: no table: {str(error).splitlines()[0]}") from error
    names = [name.strip().lower() for name in frame.columns]
    plain = {name: ALIASES.get(short, short) for name, short in zip(frame.columns, names, strict=True)}
    if len(set(plain.values())) < len(plain):
        raise SchemaMismatch(f"{path}: a column is there twice: {', '.join(frame.columns)}")
    return frame.rename(plain)


def _require(path: Path, frame: pl.DataFrame, times: tuple[str, str], others: tuple[str, ...]) -> str:
    time = next((name for name in times if name in frame.columns), None)
    missing = [name for name in others if name not in frame.columns]
    if time is None:
        missing = [f"{times[0]} or {times[1]}", *missing]
    if time is None or missing:
        raise SchemaMismatch(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(frame.columns) or 'none'}"
        )
    return time


def _days(path: Path, column: pl.Series) -> pl.Series:
    """Return dates as their midnight in UTC, ns; 20090821 and 2009-08-21 are dates too."""
    if column.dtype.is_integer():
        column = column.cast(pl.String)
    try:
        if column.dtype == pl.String:
            compact = bool(column.drop_nulls().str.contains(r"^\d{8}$").all())
            column = column.str.to_date("%Y%m%d" if compact else "%Y-%m-%d")
        return column.cast(pl.Date).cast(pl.Int64) * DAY_NS
    except pl.exceptions.PolarsError as error:
        raise SchemaMismatch(
            f"{path}: column `{column.name}` must hold dates such as 2009-08-21: {str(error).splitlines()[0]}"
        ) from error


def _nanoseconds(path: Path, column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.epoch("ns")
    if not column.dtype.is_integer():
        raise SchemaMismatch(
            f"{path}: column `{column.name}` must hold times or whole ns since 1970, holds {column.dtype}"
        )
    return column.cast(pl.Int64)


def _numbers(path: Path, column: pl.Series) -> pl.Series:
    """Return float64, NaN for null."""
    if not column.dtype.is_numeric() and column.null_count() < len(column):
        raise SchemaMismatch(f"{path}: column `{column.name}` must hold numbers, holds {column.dtype}")
    return column.cast(pl.Float64).fill_null(np.nan)


def _places(values: pl.Series, known: pl.Series) -> Int64Array:
    """Return each value's position among the known ones, (n,) int64, -1 for none."""
    table = (
        pl.DataFrame({"value": known}).with_row_index("place").with_columns(pl.col("place").cast(pl.Int64))
    )
    found = pl.DataFrame({"value": values}).join(table, on="value", how="left", maintain_order="left")
    places: Int64Array = found["place"].fill_null(-1).to_numpy()
    return places


def _windows(times_ns: Int64Array, panel: MarketPanel, *, closes: bool) -> Int64Array:
    """Return the position of the window that starts at, or `closes` at, each time; -1 for none."""
    place = np.searchsorted(panel.starts_ns, times_ns, side="left" if closes else "right") - 1
    since = times_ns - panel.starts_ns[np.maximum(place, 0)]
    longest = panel.bar_ns if closes else 0
    return np.where((place >= 0) & (since <= longest), place, -1).astype(np.int64)


def _refuse_blank(path: Path, frame: pl.DataFrame, time: str) -> None:
    for name, shown in (("starts" if "starts" in frame.columns else "at", time), ("symbol", "symbol")):
        blank = frame.filter(pl.col(name).is_null())
        if len(blank):
            raise InvalidRow(path, int(blank["row"][0]), shown, None, "must not be empty")


def _refuse_twice(path: Path, frame: pl.DataFrame, cells: Int64Array, what: str) -> None:
    """Raise for the second row of a cell; `cells` are (n,) numbers of window and symbol."""
    _, first = np.unique(cells, return_index=True)
    if len(first) < len(cells):
        again = np.ones(len(cells), np.bool_)
        again[first] = False
        row = frame.row(int(again.argmax()), named=True)
        raise InvalidRow(path, row["row"], "symbol", row["symbol"], f"has this {what} already")


def panel_groups(relations: Path, panel: MarketPanel) -> Int64Array:
    """Return each instrument's sector as a code, (N,) int64, -1 for none.

    Raises
    ------
    ReplayError
        If the file cannot be read, as of `read_relations`.
    SchemaMismatch
        If it knows none of the panel's symbols.
    """
    sectors = read_relations(relations).sectors or {}
    found = [sectors.get(symbol) for symbol in panel.symbols]
    codes = {name: code for code, name in enumerate(sorted({name for name in found if name}))}
    if not codes:
        raise SchemaMismatch(
            f"{relations}: tells no sector of any of the panel's {len(panel.symbols)} symbols"
        )
    return np.array([codes[name] if name else -1 for name in found], np.int64)
