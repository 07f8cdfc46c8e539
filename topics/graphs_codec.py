"""Graph snapshots on the wire: one row for each window and instrument of the universe, present or not.

Rows of absent instruments are zeros that lz4 removes; keeping them makes decoding a reshape. Version 1 had
no `relations`: all its neighbors are of the correlation.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import numpy as np
import pyarrow as pa

from topics import arrow, checks
from topics.envelope import ARROW, Envelope
from topics.errors import SchemaError
from topics.runs import CORRELATION, GraphRun
from topics.types import UNDEF_PRICE

GRAPHS_SCHEMA: Final = "graphs"
GRAPHS_VERSION: Final = 2
_READ_VERSIONS: Final = (1, GRAPHS_VERSION)

Width = Annotated[int, msgspec.Meta(ge=0, le=1024)]
Slots = Annotated[int, msgspec.Meta(ge=1, le=1024)]


class _Metadata(msgspec.Struct, frozen=True):
    universe: arrow.Text
    seq: arrow.Index
    size_ns: arrow.PositiveNanos
    instrument_ids: list[int]
    symbols: tuple[str, ...]
    sector: list[int]
    ts_close: list[int]
    n_features: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    n_neighbors: Width
    relations: tuple[tuple[arrow.Text, Slots], ...] = ()
    feature_names: tuple[str, ...] = ()


def encode_graphs(run: GraphRun) -> bytes:
    """Return a run of graph snapshots as an Arrow IPC stream.

    Raises
    ------
    SchemaError
        A shape, an axis or a value breaks the schema.
    MessageTooLarge
        The run does not fit a message: cut it with `topics.cuts.cut_graphs`.
    """
    _check(run)
    n_windows, n_instruments, n_features = run.features.shape
    n_neighbors = run.neighbors.shape[-1]
    positions = np.tile(np.arange(n_instruments, dtype=np.int32), n_windows)
    columns = {
        "ts_close": arrow.from_numpy(np.repeat(run.ts_close, n_instruments)),
        "instrument_id": arrow.from_numpy(np.tile(run.instrument_ids, n_windows)),
        "symbol": arrow.symbols_column(positions, run.symbols),
        "present": arrow.from_numpy(run.mask.reshape(-1)),
        "close": arrow.from_numpy(run.close.reshape(-1)),
        "features": arrow.vectors(run.features),
    }
    if n_neighbors:  # Arrow has no lists of width 0
        columns["neighbors"] = arrow.vectors(run.neighbors)
        columns["neighbor_weights"] = arrow.vectors(run.neighbor_weights)
    metadata = _Metadata(
        universe=run.universe,
        seq=run.seq,
        size_ns=run.size_ns,
        instrument_ids=run.instrument_ids.tolist(),
        symbols=run.symbols,
        sector=run.sector.tolist(),
        ts_close=run.ts_close.tolist(),
        n_features=n_features,
        n_neighbors=n_neighbors,
        relations=run.relations,
        feature_names=run.feature_names,
    )
    return arrow.write_stream(columns, metadata)


def decode_graphs(value: bytes | None, envelope: Envelope) -> GraphRun:
    """Return the run of graph snapshots that a message carries.

    Raises
    ------
    UnknownVersion
        Schema or version unknown.
    SchemaError
        The bytes break the schema.
    """
    envelope.require(GRAPHS_SCHEMA, _READ_VERSIONS, ARROW)
    types = {"present": pa.bool_(), "close": pa.int64()}
    batch, metadata = arrow.read_stream(value, types, _Metadata)
    shape = (len(metadata.ts_close), len(metadata.instrument_ids))
    if batch.num_rows != shape[0] * shape[1]:
        raise SchemaError(
            f"the batch has {batch.num_rows} rows, the axes ask for {shape[0]} x {shape[1]}",
            field_path="rows",
        )
    neighbors_shape = (*shape, metadata.n_neighbors)
    relations = metadata.relations
    if envelope.version == 1 and metadata.n_neighbors:
        relations = ((CORRELATION, metadata.n_neighbors),)
    run = GraphRun(
        universe=metadata.universe,
        seq=metadata.seq,
        size_ns=metadata.size_ns,
        instrument_ids=arrow.axis("instrument_ids", metadata.instrument_ids, np.uint32),
        symbols=metadata.symbols,
        sector=arrow.axis("sector", metadata.sector, np.int16),
        ts_close=arrow.axis("ts_close", metadata.ts_close, np.int64),
        mask=arrow.bool_column(batch, "present").reshape(shape),
        features=arrow.vector_column(batch, "features", (*shape, metadata.n_features), np.float32),
        close=arrow.column(batch, "close", np.int64).reshape(shape),
        neighbors=arrow.vector_column(batch, "neighbors", neighbors_shape, np.int32),
        neighbor_weights=arrow.vector_column(batch, "neighbor_weights", neighbors_shape, np.float32),
        relations=relations,
        feature_names=metadata.feature_names,
    )
    _check(run)
    return run


def _check(run: GraphRun) -> None:
    n_windows, n_instruments = len(run.ts_close), len(run.instrument_ids)
    checks.check_run_axes(run.size_ns, run.ts_close, run.instrument_ids, run.symbols)
    shape = (n_windows, n_instruments)
    n_features, n_neighbors = run.features.shape[-1], run.neighbors.shape[-1]
    checks.check_shape("sector", run.sector, (n_instruments,), np.int16)
    checks.check_shape("mask", run.mask, shape, np.bool_)
    checks.check_shape("close", run.close, shape, np.int64)
    checks.check_shape("features", run.features, (*shape, n_features), np.float32)
    checks.check_shape("neighbors", run.neighbors, (*shape, n_neighbors), np.int32)
    checks.check_shape("neighbor_weights", run.neighbor_weights, (*shape, n_neighbors), np.float32)
    if run.feature_names and len(run.feature_names) != n_features:
        raise SchemaError(
            f"`feature_names` has {len(run.feature_names)} names for {n_features} features",
            field_path="feature_names",
        )
    checks.check_finite("features", run.features)
    _check_relations(run.relations, n_neighbors)
    checks.check_finite("neighbor_weights", run.neighbor_weights)
    if run.neighbor_weights.size and np.abs(run.neighbor_weights).max() > 1:
        raise SchemaError("`neighbor_weights` must be in -1..1", field_path="neighbor_weights")
    if n_neighbors and n_windows and not -1 <= run.neighbors.min() <= run.neighbors.max() < n_instruments:
        raise SchemaError(f"`neighbors` must be in -1..{n_instruments - 1}", field_path="neighbors")
    if ((run.close == UNDEF_PRICE) == run.mask).any():
        raise SchemaError("`close` must be a price exactly where `mask` is set", field_path="close")


def _check_relations(relations: tuple[tuple[str, int], ...], n_neighbors: int) -> None:
    names, widths = [name for name, _ in relations], [width for _, width in relations]
    if len(set(names)) != len(names) or not all(names):
        raise SchemaError(
            f"`relations` must have names of their own, were {', '.join(names)}", field_path="relations"
        )
    if sum(widths) != n_neighbors or min(widths, default=1) < 1:
        raise SchemaError(
            f"`relations` must share the {n_neighbors} neighbors in slots of at least 1, have {widths}",
            field_path="relations",
        )
