"""The golden messages and contract of topics: `python -m tests.golden.topics_regenerate` writes them anew."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.unit.topics.factories import make_graphs, make_predictions, make_windows
from tests.unit.topics.test_control import EXAMPLES
from topics import tick_builders
from topics.asyncapi import asyncapi_document
from topics.envelope import Message
from topics.messages import control_message, graph_message, prediction_message, tick_message, window_message

FOLDER = Path(__file__).resolve().parent
WIRE = FOLDER / "topics_wire_v1.json"
ASYNCAPI = FOLDER / "topics_asyncapi.json"
RETIRED = ("graphs-v1",)
"""Messages of versions that are still read but no longer written: kept as they are."""
ORIGIN: dict[str, Any] = {"run_id": "golden", "mode": "replay"}


def read_wire() -> dict[str, Any]:
    return json.loads(WIRE.read_text())


def make_wire() -> dict[str, Any]:
    ticks = tick_builders.trades(instrument_id=[1, 2], ts_event=[10, 11], price=[101, 102], size=3, side=b"B")
    quotes = tick_builders.quotes(instrument_id=3, ts_event=12, bid_price=99, ask_price=101)
    bars = tick_builders.bars(instrument_id=4, ts_event=0, open=1, high=4, low=1, close=2, volume=9)
    values: dict[str, tuple[Message, Any]] = {
        run.schema: (tick_message(run, **ORIGIN, seq=0, partition=0), run) for run in (ticks, quotes, bars)
    }
    windows, graphs, predictions = make_windows(2, 3), make_graphs(2, 3), make_predictions(2, 3)
    values["windows"] = (window_message(windows, **ORIGIN, seq=0), windows)
    values["graphs"] = (graph_message(graphs, **ORIGIN), graphs)
    values["predictions"] = (prediction_message(predictions, **ORIGIN), predictions)
    for record in EXAMPLES:
        values[record.SCHEMA] = (control_message(record, **ORIGIN, key=b"k"), record)
    return {
        name: {
            "headers": {key: value.decode() for key, value in message.headers},
            "value": base64.b64encode(message.value).decode(),
            "decoded": as_json(content),
        }
        for name, (message, content) in values.items()
    }


def as_json(content: Any) -> Any:
    """Content as JSON types, floats exactly, by their shortest text that reads back the same."""
    if isinstance(content, msgspec.Struct):
        return msgspec.json.decode(msgspec.json.encode(content))
    return {field.name: _plain(getattr(content, field.name)) for field in fields(content)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names is None:
        return value.tolist()
    return {name: _text(value[name]) for name in value.dtype.names}


def _text(values: np.ndarray) -> list[Any]:
    return [item.decode() if isinstance(item, bytes) else item for item in values.tolist()]


def main() -> None:
    retired = {name: read_wire()[name] for name in RETIRED}
    WIRE.write_text(json.dumps({**make_wire(), **retired}, indent=1) + "\n")
    ASYNCAPI.write_text(json.dumps(asyncapi_document(version("cs3g")), indent=2) + "\n")


if __name__ == "__main__":
    main()
