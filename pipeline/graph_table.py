"""A run of graph snapshots as one Parquet file and back, bit for bit.

A row for each window and instrument of the run, present or not: zstd removes the zeros of absent ones, and
reading is a reshape. The axes are metadata of the file's schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import ArchiveError
from topics.arrow import from_numpy, symbols_column, vectors
from topics.runs import GraphRun
from topics.types import UInt32Array

_METADATA_KEY: Final = b"cs3g"
_GROUP_ROWS: Final = 1 << 16
_VECTORS: Final = {
    "features": np.dtype(np.float32),
    "neighbors": np.dtype(np.int32),
    "neighbor_weights": np.dtype(np.float32),
}


class _Axes(msgspec.Struct, frozen=True):
    universe: str
    seq: int
    size_ns: int
    instrument_ids: list[int]
    symbols: tuple[str, ...]
    sector: list[int]
    ts_close: list[int]
    widths: dict[str, int]
    relations: tuple[tuple[str, int], ...]
    feature_names: tuple[str, ...]


def write_graph_table(path: Path, run: GraphRun) -> None:
    """Write a run as a Parquet file."""
    n_windows, n_instruments = run.mask.shape
    positions = np.tile(np.arange(n_instruments, dtype=np.int32), n_windows)
    columns: dict[str, pa.Array] = {
        "ts_close": from_numpy(np.repeat(run.ts_close, n_instruments)),
        "instrument_id": from_numpy(np.tile(run.instrument_ids, n_windows)),
        "symbol": symbols_column(positions, run.symbols),
        "sector": from_numpy(np.tile(run.sector, n_windows)),
        "present": from_numpy(run.mask.reshape(-1)),
        "close": from_numpy(run.close.reshape(-1)),
    }
    widths = {name: int(getattr(run, name).shape[-1]) for name in _VECTORS}
    columns.update({name: vectors(getattr(run, name)) for name, width in widths.items() if width})
    axes = _Axes(
        universe=run.universe,
        seq=run.seq,
        size_ns=run.size_ns,
        instrument_ids=run.instrument_ids.tolist(),
        symbols=run.symbols,
        sector=run.sector.tolist(),
        ts_close=run.ts_close.tolist(),
        widths=widths,
        relations=run.relations,
        feature_names=run.feature_names,
    )
    table = pa.table(columns).replace_schema_metadata({_METADATA_KEY: msgspec.json.encode(axes)})
    pq.write_table(
        table,
        path,
        row_group_size=_GROUP_ROWS,
        compression="zstd",
        compression_level=1,
        # Floating point goes plain: a dictionary of them is no smaller, and slower to make.
        use_dictionary=["ts_close", "instrument_id", "symbol", "sector"],
        write_statistics=["ts_close", "instrument_id"],
    )


def read_graph_table(path: Path) -> GraphRun:
    """Return the run that a Parquet file holds.

    Raises
    ------
    ArchiveError
        The file is damaged, or not one that `write_graph_table` wrote.
    """
    try:
        # Not `read_table`: that would add columns from the names of the folders.
        with pq.ParquetFile(path) as file:
            table = file.read(["present", "close", *_VECTORS], use_threads=False)
        raw = (table.schema.metadata or {})[_METADATA_KEY]
        return _run_of(table, msgspec.json.decode(raw, type=_Axes))
    except FileNotFoundError as error:
        raise ArchiveError(f"{path}: is missing: copy the whole folder") from error
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ArchiveError(f"{path}: is no table of graph snapshots: {error}") from error


def read_instrument_ids(path: Path) -> UInt32Array:
    """Return the instruments of the run that a file holds, without reading its rows.

    Raises
    ------
    ArchiveError
        As `read_graph_table`.
    """
    try:
        raw = (pq.read_schema(path).metadata or {})[_METADATA_KEY]
        return np.array(msgspec.json.decode(raw, type=_Axes).instrument_ids, np.uint32)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ArchiveError(f"{path}: is no table of graph snapshots: {error}") from error


def _run_of(table: pa.Table, axes: _Axes) -> GraphRun:
    shape = (len(axes.ts_close), len(axes.instrument_ids))
    if table.num_rows != shape[0] * shape[1]:
        raise ValueError(f"it has {table.num_rows} rows, its axes ask for {shape[0]} x {shape[1]}")
    arrays = {name: _vector(table, name, (*shape, axes.widths[name]), _VECTORS[name]) for name in _VECTORS}
    return GraphRun(
        universe=axes.universe,
        seq=axes.seq,
        size_ns=axes.size_ns,
        instrument_ids=np.array(axes.instrument_ids, np.uint32),
        symbols=axes.symbols,
        sector=np.array(axes.sector, np.int16),
        ts_close=np.array(axes.ts_close, np.int64),
        mask=_scalar(table, "present").reshape(shape),
        features=arrays["features"],
        close=_scalar(table, "close").reshape(shape),
        neighbors=arrays["neighbors"],
        neighbor_weights=arrays["neighbor_weights"],
        relations=axes.relations,
        feature_names=axes.feature_names,
    )


def _scalar(table: pa.Table, name: str) -> NDArray[Any]:
    # Compiled kernels are specialized on writability, so every array is its own.
    return np.array(table.column(name).to_numpy(), copy=True)


def _vector(table: pa.Table, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if not shape[-1]:
        return np.empty(shape, dtype)
    column = table.column(name)
    if not (pa.types.is_fixed_size_list(column.type) and column.type.list_size == shape[-1]):
        raise ValueError(f"column `{name}` must hold lists of {shape[-1]}, holds {column.type}")
    chunks = [chunk.flatten().to_numpy() for chunk in column.chunks]
    values: NDArray[Any] = np.concatenate(chunks) if chunks else np.empty(0, dtype)
    if values.dtype != dtype:
        raise ValueError(f"column `{name}` must hold {dtype}, holds {values.dtype}")
    return values.reshape(shape)
