"""Windows, graphs and predictions as Arrow IPC streams: what goes in comes out, what breaks is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from tests.unit.topics.factories import (
    SIZE_NS,
    T0,
    assert_same,
    make_graphs,
    make_predictions,
    make_ts_close,
    make_windows,
)
from topics.arrow import METADATA_KEY
from topics.envelope import ARROW, JSON, MAX_MESSAGE_BYTES, Envelope
from topics.errors import EnvelopeError, MessageTooLarge, SchemaError, UnknownVersion
from topics.graphs_codec import decode_graphs, encode_graphs
from topics.predictions_codec import decode_predictions, encode_predictions
from topics.runs import WINDOW_ROW_DTYPE
from topics.types import UNDEF_PRICE
from topics.windows_codec import decode_windows, encode_windows

Codec = tuple[Callable[..., Any], Callable[[Any], bytes], Callable[[bytes | None, Envelope], Any], str]
CODECS: list[Codec] = [
    (make_windows, encode_windows, decode_windows, "windows"),
    (make_graphs, encode_graphs, decode_graphs, "graphs"),
    (make_predictions, encode_predictions, decode_predictions, "predictions"),
]
VERSIONS = {"windows": 1, "graphs": 2, "predictions": 1}
every_codec = pytest.mark.parametrize(
    ("make", "encode", "decode", "schema"), CODECS, ids=[c[3] for c in CODECS]
)


def rewrite(value: bytes, *, metadata: dict[str, Any] | None = None, **columns: pa.Array | None) -> bytes:
    """The stream with metadata fields changed, and columns replaced or (None) removed."""
    table = pa.ipc.open_stream(value).read_all()
    known = msgspec.json.decode(table.schema.metadata[METADATA_KEY])
    packed = msgspec.json.encode({**known, **(metadata or {})})
    arrays = {name: table.column(name).combine_chunks() for name in table.schema.names}
    arrays = {name: array for name, array in {**arrays, **columns}.items() if array is not None}
    batch = pa.RecordBatch.from_pydict(arrays).replace_schema_metadata({METADATA_KEY: packed})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


@every_codec
@pytest.mark.parametrize(("n_windows", "n_instruments"), [(1, 1), (3, 4), (40, 30), (0, 4)])
def test_a_run_comes_back_bit_for_bit(
    make: Any, encode: Any, decode: Any, schema: str, n_windows: int, n_instruments: int
) -> None:
    run = make(n_windows, n_instruments)
    assert_same(decode(encode(run), Envelope(schema, VERSIONS[schema], ARROW)), run)


@every_codec
def test_another_writer_without_compression_is_read_too(
    make: Any, encode: Any, decode: Any, schema: str
) -> None:
    run = make()
    assert_same(decode(rewrite(encode(run)), Envelope(schema, VERSIONS[schema], ARROW)), run)


@every_codec
def test_unknown_columns_and_metadata_are_ignored(make: Any, encode: Any, decode: Any, schema: str) -> None:
    run = make()
    value = encode(run)
    n_rows = pa.ipc.open_stream(value).read_all().num_rows
    value = rewrite(value, metadata={"later": 1}, extra=pa.array(range(n_rows)))
    assert_same(decode(value, Envelope(schema, VERSIONS[schema], ARROW)), run)


@every_codec
def test_other_schemas_versions_and_content_are_refused(
    make: Any, encode: Any, decode: Any, schema: str
) -> None:
    value = encode(make())
    with pytest.raises(UnknownVersion):
        decode(value, Envelope(schema, VERSIONS[schema] + 1, ARROW))
    with pytest.raises(UnknownVersion):
        decode(value, Envelope("other", 1, ARROW))
    with pytest.raises(EnvelopeError):
        decode(value, Envelope(schema, VERSIONS[schema], JSON))


@every_codec
@pytest.mark.parametrize("value", [None, b"", b"ARROW1", b"\xff\xff\xff\xff\x00\x00\x00\x00", bytes(1000)])
def test_what_is_no_stream_is_refused(make: Any, encode: Any, decode: Any, schema: str, value: bytes) -> None:
    with pytest.raises(SchemaError, match=r"empty|no valid Arrow IPC stream"):
        decode(value, Envelope(schema, VERSIONS[schema], ARROW))


@every_codec
def test_a_truncated_stream_is_refused(make: Any, encode: Any, decode: Any, schema: str) -> None:
    value = encode(make())
    for length in range(8, len(value) - 8, 64):
        with pytest.raises(SchemaError):
            decode(value[:length], Envelope(schema, VERSIONS[schema], ARROW))


@every_codec
def test_streams_are_bounded(make: Any, encode: Any, decode: Any, schema: str) -> None:
    with pytest.raises(MessageTooLarge):
        decode(bytes(MAX_MESSAGE_BYTES + 1), Envelope(schema, VERSIONS[schema], ARROW))


@every_codec
def test_polars_reads_tidy_rows(make: Any, encode: Any, decode: Any, schema: str) -> None:
    frame = pl.read_ipc_stream(encode(make(3, 4)))
    assert frame["ts_close"].is_sorted()
    assert frame["ts_close"].unique().to_list() == make_ts_close(3).tolist()
    assert set(frame["instrument_id"]) <= {1, 2, 3, 4}


def test_polars_sees_scores_of_present_instruments_only() -> None:
    run = make_predictions(3, 4)
    frame = pl.read_ipc_stream(encode_predictions(run))
    assert frame.height == run.mask.sum()
    assert frame["score"].to_list() == run.scores[run.mask].tolist()
    assert frame["symbol"].cast(pl.String).to_list() == [run.symbols[n] for n in run.mask.nonzero()[1]]
    assert frame["warmup"].to_list() == run.warmup[run.mask.nonzero()[0]].tolist()


def test_graphs_without_neighbors_and_with_feature_names_survive() -> None:
    run = make_graphs(n_neighbors=0, n_features=2, feature_names=("a", "b"))
    assert_same(decode_graphs(encode_graphs(run), Envelope("graphs", 2, ARROW)), run)


def test_neighbors_of_version_1_are_of_the_correlation() -> None:
    run = make_graphs(relations=(("correlation", 2),))
    old = rewrite(encode_graphs(run), metadata={"relations": []})
    assert_same(decode_graphs(old, Envelope("graphs", 1, ARROW)), run)
    with pytest.raises(SchemaError, match="`relations` must share the 2 neighbors"):
        decode_graphs(old, Envelope("graphs", 2, ARROW))


def test_an_empty_run_of_windows_still_carries_its_frontier() -> None:
    run = make_windows(0, 4, frontier_ns=T0 + 9 * SIZE_NS)
    assert decode_windows(encode_windows(run), Envelope("windows", 1, ARROW)).frontier_ns == T0 + 9 * SIZE_NS


def test_a_run_too_large_for_a_message_says_so() -> None:
    with pytest.raises(MessageTooLarge, match="cut the run"):
        encode_graphs(make_graphs(60, 500, n_features=40, n_neighbors=40, presence=1.0))


def change(run: Any, field: str, index: Any, value: Any) -> Any:
    array = getattr(run, field).copy()
    array[index] = value
    return replace(run, **{field: array})


@pytest.mark.parametrize(
    ("field", "row", "value", "message"),
    [
        ("ts_close", 0, T0 + 9 * SIZE_NS, "row 1: rows must ascend"),
        ("instrument_id", 1, 1, "row 1: rows must ascend"),
        ("instrument_id", 0, 0, "must hold an instrument"),
        ("n_ticks", 2, 0, "at least one tick"),
        ("notional", 2, np.nan, "`notional` must be finite"),
        ("spread_sum", 2, np.inf, "`spread_sum` must be finite"),
    ],
)
def test_windows_that_break_a_rule_are_refused_both_ways(
    field: str, row: int, value: Any, message: str
) -> None:
    good = make_windows()
    rows = good.rows.copy()
    rows[field][row] = value
    with pytest.raises(SchemaError, match=message):
        encode_windows(replace(good, rows=rows))
    hostile = rewrite(encode_windows(good), **{field: pa.array(np.ascontiguousarray(rows[field]))})
    with pytest.raises(SchemaError, match=message):
        decode_windows(hostile, Envelope("windows", 1, ARROW))


def test_windows_lie_on_the_grid_and_are_closed() -> None:
    with pytest.raises(SchemaError, match="multiple of `size_ns`"):
        encode_windows(make_windows(size_ns=SIZE_NS - 1))
    with pytest.raises(SchemaError, match="only closed windows travel"):
        encode_windows(make_windows(frontier_ns=T0))
    with pytest.raises(SchemaError, match="WINDOW_ROW_DTYPE"):
        encode_windows(make_windows(rows=np.zeros(1, dtype=WINDOW_ROW_DTYPE.descr[:3])))


@pytest.mark.parametrize(
    ("field", "index", "value", "message"),
    [
        ("features", (0, 0, 0), np.nan, "`features` must be finite"),
        ("neighbor_weights", (0, 0, 0), np.inf, "`neighbor_weights` must be finite"),
        ("neighbor_weights", (0, 0, 0), -1.5, r"`neighbor_weights` must be in -1\.\.1"),
        ("neighbors", (1, 2, 0), 4, r"`neighbors` must be in -1\.\.3"),
        ("neighbors", (1, 2, 0), -2, r"`neighbors` must be in -1\.\.3"),
        ("ts_close", 1, T0, "`ts_close` must be strictly ascending"),
        ("ts_close", 2, T0 + 3 * SIZE_NS + 1, "`ts_close` must be a multiple"),
        ("instrument_ids", 0, 0, "`instrument_ids` must be > 0"),
        ("instrument_ids", 3, 1, "`instrument_ids` must be strictly ascending"),
    ],
)
def test_graphs_that_break_a_rule_are_refused(field: str, index: Any, value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        encode_graphs(change(make_graphs(), field, index, value))


def test_a_graph_has_a_close_exactly_where_an_instrument_is_present() -> None:
    run = make_graphs(presence=1.0)
    with pytest.raises(SchemaError, match="`close` must be a price exactly where"):
        encode_graphs(change(run, "close", (1, 1), UNDEF_PRICE))
    with pytest.raises(SchemaError, match="`close` must be a price exactly where"):
        encode_graphs(change(run, "mask", (1, 1), False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": ("A",)}, "`symbols` has 1 names for 4"),
        ({"sector": np.zeros(3, np.int16)}, "`sector` must be int16 of shape"),
        ({"feature_names": ("a",)}, "`feature_names` has 1 names for 3"),
        ({"size_ns": 0}, "`size_ns` \\(=0\\) must be > 0"),
        ({"mask": np.ones((3, 4), np.int8)}, "`mask` must be bool"),
        ({"relations": (("a", 2), ("a", 0))}, "`relations` must have names of their own, were a, a"),
        ({"relations": (("a", 3),)}, r"`relations` must share the 2 neighbors .* have \[3\]"),
        ({"relations": (("a", 2), ("b", 0))}, "in slots of at least 1"),
    ],
)
def test_graph_axes_must_agree(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        encode_graphs(make_graphs(**changes))


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"seq": -1}, "$.seq"),
        ({"universe": ""}, "$.universe"),
        ({"size_ns": 0}, "$.size_ns"),
        ({"instrument_ids": [1, 2, 3, 2**32]}, "instrument_ids"),
        ({"instrument_ids": ["x"]}, "$.instrument_ids[0]"),
        ({"sector": [1, 2, 3, 40_000]}, "sector"),
        ({"ts_close": [T0 + SIZE_NS]}, "rows"),
        ({"n_features": 2}, "features"),
        ({"n_neighbors": 3}, "neighbors"),
        ({"relations": [["a", 1], ["b", 0]]}, "$.relations[1][1]"),
        ({"relations": [["a", 1], ["", 1]]}, "$.relations[1][0]"),
        ({"relations": [["a", 1], ["a", 1]]}, "relations"),
        ({"relations": [["a", 1]]}, "relations"),
    ],
)
def test_hostile_graph_metadata_is_named(metadata: dict[str, Any], path: str) -> None:
    hostile = rewrite(encode_graphs(make_graphs()), metadata=metadata)
    with pytest.raises(SchemaError) as caught:
        decode_graphs(hostile, Envelope("graphs", 2, ARROW))
    assert caught.value.field_path == path


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"close": None}, "column `close` is missing"),
        ({"features": None}, "column `features` is missing"),
        ({"close": pa.array([1.0] * 12)}, "column `close` must be int64, was double"),
        ({"close": pa.array([None] * 12, type=pa.int64())}, "column `close` must not hold nulls"),
        (
            {"features": pa.array([[1.0, None, 1.0]] * 12, type=pa.list_(pa.float32(), 3))},
            "column `features` must not hold nulls",
        ),
    ],
)
def test_hostile_graph_columns_are_named(columns: dict[str, Any], message: str) -> None:
    hostile = rewrite(encode_graphs(make_graphs()), **columns)
    with pytest.raises(SchemaError, match=message):
        decode_graphs(hostile, Envelope("graphs", 2, ARROW))


@pytest.mark.parametrize(
    ("field", "index", "value", "message"),
    [
        ("scores", (0, 0), np.nan, "`scores` must be finite"),
        ("ranks", (0, 0), 0, "`ranks` must be in"),
        ("ranks", (0, 0), 5, "`ranks` must be in"),
        ("mask", (0, 0), False, "`ranks` must be in"),
    ],
)
def test_predictions_that_break_a_rule_are_refused(field: str, index: Any, value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        encode_predictions(change(make_predictions(presence=1.0), field, index, value))


def test_a_score_without_a_prediction_is_refused() -> None:
    run = make_predictions(presence=0.0)
    with pytest.raises(SchemaError, match="`scores` must be 0 where"):
        encode_predictions(change(run, "scores", (0, 0), 1.0))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"instrument_id": pa.array([2] * 12, type=pa.uint32())}, "contradicts the index of `symbol`"),
        ({"ts_close": pa.array([T0] * 12)}, "is not among the run's"),
        ({"ts_close": pa.array([T0 + SIZE_NS] * 12)}, "rows must ascend strictly"),
        (
            {
                "symbol": pa.DictionaryArray.from_arrays(
                    pa.array([4] * 12, type=pa.int32()), pa.array(["a", "b", "c", "d", "e"])
                )
            },
            r"index of `symbol` must be in 0\.\.3",
        ),
    ],
)
def test_hostile_prediction_columns_are_named(columns: dict[str, Any], message: str) -> None:
    hostile = rewrite(encode_predictions(make_predictions(presence=1.0)), **columns)
    with pytest.raises(SchemaError, match=message):
        decode_predictions(hostile, Envelope("predictions", 1, ARROW))


def test_a_stream_without_our_metadata_is_refused() -> None:
    sink = pa.BufferOutputStream()
    rows = make_windows().rows
    batch = pa.RecordBatch.from_pydict({name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(SchemaError, match="metadata 'cs3g' is missing"):
        decode_windows(sink.getvalue().to_pybytes(), Envelope("windows", 1, ARROW))
