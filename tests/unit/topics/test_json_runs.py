"""Many one-tick JSON messages at once: the same bytes and the same refusals as one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topics.errors import SchemaError
from topics.json_runs import decode_json_ticks
from topics.json_ticks import decode_json_tick

PRICES = st.one_of(
    st.from_regex(rb"[0-9]{1,12}(\.[0-9]{0,12})?", fullmatch=True).map(bytes.decode),
    st.sampled_from(["007.5", ".5", "1.", "-1", "1e2", "0", "123456789.123456789", "1\\u0030", "nan", ""]),
    st.floats(0, 1e6).map(repr),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    body: dict[str, Any] = {
        "schema": draw(st.sampled_from(["trades", "trades", "trades", "mbp-1", "ohlcv-1m", "other"])),
        "instrument_id": draw(st.integers(0, 9)),
        "ts_event": draw(st.integers(0, 2**40)),
    }
    if body["schema"] == "mbp-1":
        body |= {"bid_price": "1.5", "ask_price": 1.75}
    elif body["schema"] == "ohlcv-1m":
        body |= {"open": 1, "high": 2, "low": 1, "close": 2}
    else:
        body |= {"price": "PRICE", "size": draw(st.integers(0, 2**33))}
        body |= draw(st.sampled_from([{}, {"side": "B"}, {"side": "Q"}, {"ts_recv": 5}, {"sequence": 7}]))
    text = json.dumps(body)
    price = draw(PRICES)
    return text.replace('"PRICE"', draw(st.sampled_from([price, f'"{price}"']))).encode()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(messages(), st.sampled_from([b"", b"{}", b"[", b"{},{}", b"\xff"])), max_size=12))
def test_at_once_equals_one_by_one(values: list[bytes]) -> None:
    runs, refused = decode_json_ticks(values)
    found: dict[int, tuple[str, bytes]] = {}
    for one in runs:
        for position, record in zip(one.positions.tolist(), one.run.records, strict=True):
            found[position] = (one.run.schema, record.tobytes())
    errors = dict(refused)
    assert sorted([*found, *errors]) == list(range(len(values)))
    for position, value in enumerate(values):
        if position in found:
            run = decode_json_tick(value)
            assert found[position] == (run.schema, run.records.tobytes())
        else:
            with pytest.raises(SchemaError) as alone:
                decode_json_tick(value)
            assert str(errors[position]) == str(alone.value)


def test_a_message_of_two_ticks_is_refused_and_not_smuggled_in() -> None:
    one = b'{"schema":"trades","instrument_id":1,"ts_event":1,"price":1,"size":1}'
    runs, refused = decode_json_ticks([one, one + b"," + one, one])
    assert [position for position, _ in refused] == [1]
    assert [one.positions.tolist() for one in runs] == [[0, 2]]


def test_runs_follow_the_order_of_the_messages() -> None:
    trade = b'{"schema":"trades","instrument_id":1,"ts_event":%d,"price":1,"size":1}'
    quote = b'{"schema":"mbp-1","instrument_id":1,"ts_event":%d,"bid_price":1,"ask_price":2}'
    runs, refused = decode_json_ticks([trade % 1, trade % 2, quote % 3, trade % 4])
    assert not refused
    assert [(one.run.schema, one.run.records["ts_event"].tolist()) for one in runs] == [
        ("trades", [1, 2]),
        ("mbp-1", [3]),
        ("trades", [4]),
    ]


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_plain_trades_of_any_number(count: int) -> None:
    trade = b'{"schema":"trades","instrument_id":1,"ts_event":%d,"price":100.25,"size":1}'
    runs, refused = decode_json_ticks([trade % i for i in range(count)])
    assert sum(len(one.run.records) for one in runs) == count
    assert not refused
