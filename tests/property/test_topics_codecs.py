"""Codecs: decode(encode(run)) is the run, and no bytes make a decoder do anything but refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.topics.factories import assert_same, make_graphs, make_predictions, make_windows
from topics.control import CONTROL_TYPES, decode_control
from topics.envelope import ARROW, DBN, JSON, Envelope
from topics.errors import SchemaError
from topics.graphs_codec import decode_graphs, encode_graphs
from topics.json_ticks import decode_json_tick, encode_json_tick
from topics.predictions_codec import decode_predictions, encode_predictions
from topics.runs import TickRun
from topics.tick_builders import trades
from topics.ticks import SCHEMAS, decode_ticks, encode_ticks
from topics.validity import MAX_PRICE, valid_rows
from topics.windows_codec import decode_windows, encode_windows

few = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(0, 12)


@few
@given(st.sampled_from(sorted(SCHEMAS)), st.integers(1, 40), seeds)
def test_any_records_survive(name: str, n_ticks: int, seed: int) -> None:
    schema = SCHEMAS[name]
    raw = np.random.default_rng(seed).bytes(n_ticks * schema.dtype.itemsize)
    records = np.frombuffer(bytearray(raw), dtype=schema.dtype)
    records["length"], records["rtype"] = schema.length, schema.rtype
    decoded = decode_ticks(encode_ticks(TickRun(name, records)), Envelope(name, 1, DBN, count=n_ticks))
    assert_same(decoded, TickRun(name, records))
    assert valid_rows(decoded).shape == (n_ticks,)


@few
@given(
    st.integers(1, 2**32 - 1), st.integers(0, 2**63 - 1), st.integers(1, MAX_PRICE), st.integers(0, 2**32 - 1)
)
def test_one_tick_json_is_exact(instrument_id: int, ts_event: int, price: int, size: int) -> None:
    run = trades(instrument_id=instrument_id, ts_event=ts_event, price=price, size=size, side=b"A")
    assert_same(decode_json_tick(encode_json_tick(run)), run)


@few
@given(sizes, st.integers(1, 12), st.floats(0, 1), st.integers(0, 3), seeds)
def test_runs_survive_whatever_is_present(
    n_windows: int, n_instruments: int, presence: float, n_neighbors: int, seed: int
) -> None:
    graphs = make_graphs(n_windows, n_instruments, presence=presence, n_neighbors=n_neighbors, seed=seed)
    assert_same(decode_graphs(encode_graphs(graphs), Envelope("graphs", 2, ARROW)), graphs)
    predictions = make_predictions(n_windows, n_instruments, presence=presence, seed=seed)
    decoded = decode_predictions(encode_predictions(predictions), Envelope("predictions", 1, ARROW))
    assert_same(decoded, predictions)
    windows = make_windows(n_windows, n_instruments, seed=seed)
    assert_same(decode_windows(encode_windows(windows), Envelope("windows", 1, ARROW)), windows)


@few
@given(st.binary(max_size=400), st.sampled_from(sorted({*SCHEMAS, *CONTROL_TYPES})))
def test_arbitrary_bytes_are_refused_or_read_and_never_crash(value: bytes, schema: str) -> None:
    for decode, envelope in (
        (decode_ticks, Envelope(schema, 1, DBN)),
        (decode_ticks, Envelope(schema, 1, JSON)),
        (decode_control, Envelope(schema, 1, JSON)),
        (decode_windows, Envelope("windows", 1, ARROW)),
    ):
        assert attempt(decode, value, envelope) is not None


def attempt(decode: Any, value: bytes, envelope: Envelope) -> Any:
    """What a decoder returns, or the one kind of error that it may raise."""
    try:
        return decode(value, envelope)
    except SchemaError as error:
        return error


ENCODERS: dict[str, Any] = {
    "windows": encode_windows,
    "graphs": encode_graphs,
    "predictions": encode_predictions,
}
CODECS = [
    (encode_windows(make_windows()), "windows", decode_windows),
    (encode_graphs(make_graphs()), "graphs", decode_graphs),
    (encode_predictions(make_predictions()), "predictions", decode_predictions),
]


@pytest.mark.parametrize(("value", "schema", "decode"), CODECS, ids=[schema for _, schema, _ in CODECS])
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_streams_are_refused_or_still_keep_the_rules(value, schema, decode, data) -> None:
    damaged = bytearray(value)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    run = attempt(decode, bytes(damaged), Envelope(schema, 1, ARROW))
    if not isinstance(run, SchemaError):
        # What passed is a run that its own encoder accepts.
        encode = ENCODERS[schema]
        assert_same(decode(encode(run), Envelope(schema, 1, ARROW)), run)
