"""Which ticks a window may not take."""

from __future__ import annotations

import numpy as np
import pytest

from topics import tick_builders
from topics.runs import TickRun
from topics.ticks import SCHEMAS, heartbeat
from topics.types import UNDEF_PRICE, UNDEF_TIMESTAMP
from topics.validity import CAUSES, MAX_PRICE, invalid_causes, valid_rows


def causes_of(run: TickRun) -> list[str]:
    found = invalid_causes(run)
    assert (valid_rows(run) == (found == 0)).all()
    return [CAUSES[code] for code in found]


def test_trades_need_a_price() -> None:
    run = tick_builders.trades(
        instrument_id=1, ts_event=1, price=[1, UNDEF_PRICE, 0, -5, MAX_PRICE, MAX_PRICE + 1], size=1
    )
    assert causes_of(run) == [
        "valid", "undefined_price", "price_not_positive", "price_not_positive", "valid", "price_too_large",
    ]  # fmt: skip


def test_quotes_need_a_side_and_trades_among_them_a_price() -> None:
    nothing = UNDEF_PRICE
    run = tick_builders.quotes(
        instrument_id=1,
        ts_event=1,
        bid_price=[10, nothing, nothing, 0, nothing, 10, MAX_PRICE + 1],
        ask_price=[12, 12, nothing, 12, nothing, 12, 12],
        price=[nothing, nothing, 11, nothing, 11, nothing, nothing],
        action=[b"M", b"A", b"M", b"M", b"T", b"T", b"M"],
    )
    assert causes_of(run) == [
        "valid", "valid", "no_quote", "price_not_positive", "valid", "undefined_price", "price_too_large",
    ]  # fmt: skip


def test_sampled_quotes_need_a_side_only() -> None:
    run = tick_builders.quotes(
        instrument_id=1, ts_event=1, bid_price=[10, UNDEF_PRICE], ask_price=UNDEF_PRICE, schema="bbo-1s"
    )
    assert causes_of(run) == ["valid", "no_quote"]


def test_bars_must_hang_together() -> None:
    run = tick_builders.bars(
        instrument_id=1,
        ts_event=1,
        open=[2, 2, 9, 2, UNDEF_PRICE, 2],
        high=[4, 1, 4, 4, 4, 4],
        low=[1, 3, 1, 1, 1, -1],
        close=[3, 2, 3, 5, 3, 3],
        volume=0,
    )
    assert causes_of(run) == [
        "valid", "high_below_low", "price_outside_range", "price_outside_range", "undefined_price",
        "price_not_positive",
    ]  # fmt: skip
    run.records["volume"][0] = 2**63
    assert causes_of(run)[0] == "volume_too_large"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_heartbeats_are_valid_unless_they_have_no_time(schema: str) -> None:
    assert causes_of(heartbeat(schema, 1)) == ["valid"]
    assert causes_of(heartbeat(schema, UNDEF_TIMESTAMP)) == ["undefined_time"]


def test_a_heartbeat_among_invalid_rows_stays_valid() -> None:
    run = tick_builders.trades(instrument_id=[1, 0, 2], ts_event=1, price=UNDEF_PRICE, size=0)
    assert causes_of(run) == ["undefined_price", "valid", "undefined_price"]


def test_no_rows_have_no_causes() -> None:
    empty = np.array([], dtype=np.int64)
    run = tick_builders.trades(instrument_id=empty, ts_event=empty, price=empty, size=empty)
    assert causes_of(run) == []
