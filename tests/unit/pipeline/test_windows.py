from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.windows import MAX_SIZE_NS, FoldResult, WindowAggregator
from tests.unit.pipeline.reference import ReferenceWindows
from tests.unit.pipeline.ticks import SECOND, SIZE, START, trades, ts
from topics import tick_builders
from topics.errors import UnknownVersion
from topics.runs import TickRun, WindowRun
from topics.ticks import heartbeat
from topics.types import NANOS_PER_DAY, UNDEF_PRICE


def windows(lateness_s: int = 0, **settings: Any) -> WindowAggregator:
    return WindowAggregator("u", settings.pop("partition", 0), SIZE, lateness_s * SECOND, **settings)


def closed_rows(run: WindowRun | None) -> list[dict[str, Any]]:
    assert run is not None
    return [{name: row[name].item() for name in row.dtype.names} for row in run.rows]


def only_row(run: TickRun) -> dict[str, Any]:
    aggregator = windows()
    aggregator.fold(run)
    (row,) = closed_rows(aggregator.finish(ts(0)))
    return row


def test_a_window_closes_when_the_watermark_reaches_its_end() -> None:
    aggregator = windows()
    assert closed_rows(aggregator.fold(trades((0, 1, 100, 5, b"B"), (9, 1, 102, 1, b"A"))).closed) == []
    result = aggregator.fold(trades((10, 1, 101, 1, b"B")))
    assert result.closed is not None
    assert result.closed.frontier_ns == ts(10)
    (row,) = closed_rows(result.closed)
    assert (row["ts_close"], row["n_ticks"], row["n_trades"], row["ts_last"]) == (ts(10), 2, 2, ts(9))
    assert (row["open"], row["high"], row["low"], row["close"]) == (
        10**9,
        1_020_000_000,
        10**9,
        1_020_000_000,
    )
    assert (row["volume"], row["buy_volume"], row["sell_volume"]) == (6, 5, 1)
    assert row["notional"] == pytest.approx(5 * 1.00 + 1.02)
    assert row["sum_sq_return"] == pytest.approx(0.02**2)


def test_lateness_keeps_windows_open_for_disordered_ticks() -> None:
    aggregator = windows(lateness_s=5)
    assert closed_rows(aggregator.fold(trades((0, 1, 100, 1, b"B"), (14, 1, 101, 1, b"B"))).closed) == []
    result = aggregator.fold(trades((3, 1, 99, 1, b"A"), (15, 1, 101, 1, b"B")))
    assert not len(result.late)
    (row,) = closed_rows(result.closed)
    assert (row["n_ticks"], row["low"], row["close"]) == (2, 990_000_000, 990_000_000)


def test_a_late_tick_comes_back_and_leaves_windows_alone() -> None:
    aggregator = windows()
    aggregator.fold(trades((0, 1, 100, 1, b"B"), (10, 1, 101, 1, b"B")))
    late = trades((9, 1, 50, 7, b"A"))
    result = aggregator.fold(late)
    assert result.closed is None
    assert result.late.tobytes() == late.records.tobytes()
    assert result.late_positions.tolist() == [0]


def test_a_tick_is_late_by_what_came_before_it_in_the_same_message() -> None:
    aggregator = windows()
    result = aggregator.fold(trades((10, 1, 100, 1, b"B"), (9, 2, 100, 1, b"B"), (10, 2, 100, 1, b"B")))
    assert result.late["instrument_id"].tolist() == [2]
    assert [row["instrument_id"] for row in closed_rows(aggregator.finish(ts(10)))] == [1, 2]


def test_open_and_close_go_by_event_time_ties_by_arrival() -> None:
    row = only_row(
        trades(
            (5, 1, 105, 1, b"B"), (2, 1, 102, 1, b"B"), (2, 1, 101, 1, b"B"),
            (8, 1, 108, 1, b"B"), (8, 1, 107, 1, b"B"), (6, 1, 106, 1, b"B"),
        )
    )  # fmt: skip
    assert (row["open"], row["close"]) == (1_020_000_000, 1_070_000_000)


def test_the_tick_rule_tells_sides_that_records_do_not() -> None:
    row = only_row(
        trades(
            (0, 1, 100, 1, b"N"),  # first price: nobody knows
            (1, 1, 101, 2, b"N"),  # up: bought
            (2, 1, 101, 4, b"N"),  # unchanged: as before
            (3, 1, 100, 8, b"N"),  # down: sold
            (4, 1, 102, 16, b"A"),  # said to be sold
            (5, 1, 102, 32, b"N"),  # the price went up last
        )
    )
    assert (row["volume"], row["buy_volume"], row["sell_volume"]) == (63, 2 + 4 + 32, 8 + 16)


def quotes(schema: str = "mbp-1", **columns: Any) -> TickRun:
    defaults: dict[str, Any] = {"instrument_id": 1, "bid_size": 3, "ask_size": 1, "schema": schema}
    if schema != "bbo-1s":
        defaults["action"] = b"M"
    return tick_builders.quotes(**(defaults | columns))


def test_quotes_give_prices_spread_and_imbalance() -> None:
    row = only_row(
        quotes(
            ts_event=[ts(0), ts(1), ts(2), ts(3)],
            bid_price=[99 * SECOND, 100 * SECOND, 105 * SECOND, 90 * SECOND],
            ask_price=[101 * SECOND, 102 * SECOND, 95 * SECOND, UNDEF_PRICE],
        )
    )
    assert (row["n_ticks"], row["n_quotes"], row["n_trades"]) == (4, 4, 0)
    assert (row["open"], row["high"], row["low"], row["close"]) == (
        100 * SECOND, 101 * SECOND, 100 * SECOND, 101 * SECOND,
    )  # fmt: skip
    assert row["spread_sum"] == pytest.approx(2 / 100 + 2 / 101)
    assert row["quote_imbalance_sum"] == pytest.approx(2 * 0.5)
    assert row["volume"] == 0


def test_crossed_and_one_sided_quotes_price_a_window_that_has_nothing_better() -> None:
    crossed = quotes(
        ts_event=[ts(0), ts(1)], bid_price=[110 * SECOND, 90 * SECOND], ask_price=[100 * SECOND, UNDEF_PRICE]
    )
    assert only_row(crossed)["close"] == 105 * SECOND
    one_sided = quotes(ts_event=ts(0), bid_price=[UNDEF_PRICE], ask_price=[101 * SECOND])
    row = only_row(one_sided)
    assert (row["open"], row["spread_sum"], row["quote_imbalance_sum"]) == (101 * SECOND, 0.0, 0.0)


@pytest.mark.parametrize("first", ["trade", "quote"])
def test_trades_outrank_quotes_whichever_comes_first(first: str) -> None:
    actions = [b"T", b"M"] if first == "trade" else [b"M", b"T"]
    row = only_row(
        quotes(
            ts_event=[ts(0), ts(1)],
            action=actions,
            price=100 * SECOND,
            size=[7, 7],
            bid_price=50 * SECOND,
            ask_price=52 * SECOND,
        )
    )
    assert (row["open"], row["high"], row["low"], row["close"]) == (100 * SECOND,) * 4
    assert (row["n_ticks"], row["n_trades"], row["n_quotes"], row["volume"]) == (2, 1, 1, 7)
    assert row["spread_sum"] == pytest.approx(2 / 51)


def test_a_tbbo_trade_counts_its_book_as_a_quote() -> None:
    columns = {"ts_event": ts(0), "action": [b"T"], "price": 100 * SECOND, "size": 2}
    book = {"bid_price": 99 * SECOND, "ask_price": 101 * SECOND}
    row = only_row(quotes("tbbo", **columns, **book))
    assert (row["n_ticks"], row["n_trades"], row["n_quotes"]) == (1, 1, 1)
    assert row["spread_sum"] == pytest.approx(0.02)
    assert only_row(quotes("mbp-1", **columns, **book))["n_quotes"] == 0


def test_a_sampled_book_does_not_repeat_its_trade() -> None:
    row = only_row(
        quotes("bbo-1s", ts_event=[ts(0)], price=1, size=9, bid_price=99 * SECOND, ask_price=101 * SECOND)
    )
    assert (row["n_trades"], row["volume"], row["close"]) == (0, 0, 100 * SECOND)


def bars(schema: str = "ohlcv-1s", **columns: Any) -> TickRun:
    defaults = {"instrument_id": 1, "open": 100, "high": 110, "low": 90, "close": 105}
    prices = {name: value * SECOND for name, value in defaults.items() if name != "instrument_id"}
    return tick_builders.bars(**({"instrument_id": 1, "volume": 10} | prices | columns), schema=schema)


def test_bars_fold_into_longer_bars() -> None:
    row = only_row(
        bars(ts_event=[ts(0), ts(1)], open=[100 * SECOND, 105 * SECOND], close=[105 * SECOND, 91 * SECOND])
    )
    assert (row["open"], row["high"], row["low"], row["close"]) == (
        100 * SECOND, 110 * SECOND, 90 * SECOND, 91 * SECOND,
    )  # fmt: skip
    assert (row["n_ticks"], row["n_trades"], row["volume"], row["buy_volume"]) == (2, 0, 20, 0)
    assert row["notional"] == pytest.approx(10 * (110 + 90 + 105) / 3 + 10 * (110 + 90 + 91) / 3)
    assert row["sum_sq_return"] == pytest.approx((91 / 105 - 1) ** 2)


def test_a_bar_that_outlasts_its_window_is_refused() -> None:
    result = windows().fold(bars("ohlcv-1m", ts_event=ts(0)))
    assert result.invalid_causes == ("bar_outlasts_window",)
    daily = WindowAggregator("u", 0, NANOS_PER_DAY, 0)
    assert not len(daily.fold(bars("ohlcv-1m", ts_event=ts(0))).invalid)
    assert not len(daily.fold(bars("ohlcv-1d", ts_event=ts(0))).invalid)


def test_heartbeats_move_the_watermark_and_are_no_ticks() -> None:
    aggregator = windows()
    aggregator.fold(trades((0, 1, 100, 1, b"B")))
    result = aggregator.fold(heartbeat("trades", ts(25)))
    assert result.closed is not None
    assert result.closed.frontier_ns == ts(20)
    assert result.last_close_touched_ns == ts(30)  # or a restart would forget how far time had come
    assert [row["n_ticks"] for row in closed_rows(result.closed)] == [1]


def test_an_empty_run_of_windows_still_moves_the_frontier() -> None:
    aggregator = windows()
    result = aggregator.fold(heartbeat("trades", ts(10)))
    assert result.closed is not None
    assert (result.closed.frontier_ns, len(result.closed.rows)) == (ts(10), 0)
    assert aggregator.fold(heartbeat("trades", ts(19))).closed is None


def test_invalid_ticks_come_back_with_their_cause_and_do_not_move_time() -> None:
    aggregator = windows(partition=1, partitions=2)
    run = trades((0, 1, 100, 1, b"B"), (50, 1, 0, 1, b"B"), (60, 2, 100, 1, b"B"), (1, 3, 100, 1, b"B"))
    result = aggregator.fold(run)
    assert result.invalid_causes == ("price_not_positive", "other_partition")
    assert result.invalid_positions.tolist() == [1, 2]
    assert result.last_close_touched_ns == ts(10)
    assert aggregator.open_ticks == 2


def test_a_message_without_a_valid_tick_touches_no_window() -> None:
    result = windows().fold(trades((0, 1, 0, 1, b"B")))
    assert (result.last_close_touched_ns, result.closed) == (0, None)


def test_the_last_window_of_time_is_refused_rather_than_overflowed() -> None:
    aggregator = WindowAggregator("u", 0, MAX_SIZE_NS, 0)
    run = tick_builders.trades(
        instrument_id=1, ts_event=[2**63 - 1, 2**63 - 1 - MAX_SIZE_NS], price=SECOND, size=1
    )
    result = aggregator.fold(run)
    assert result.invalid_causes == ("undefined_time",)
    assert 0 < result.last_close_touched_ns < 2**63


def test_finish_closes_the_window_that_holds_the_last_tick() -> None:
    aggregator = windows(lateness_s=30)
    aggregator.fold(trades((0, 1, 100, 1, b"B"), (12, 1, 100, 1, b"B")))
    closed = aggregator.finish(ts(12))
    assert closed is not None
    assert closed.frontier_ns == ts(20)
    assert [row["ts_close"] for row in closed_rows(closed)] == [ts(10), ts(20)]
    assert aggregator.finish(ts(12)) is None
    assert len(aggregator.fold(trades((19, 1, 100, 1, b"B"))).late) == 1


def test_advance_closes_windows_of_a_silent_feed() -> None:
    aggregator = windows()
    aggregator.fold(trades((0, 1, 100, 1, b"B")))
    assert aggregator.advance(ts(9)) is None
    closed = aggregator.advance(ts(11))
    assert closed is not None
    assert len(closed.rows) == 1
    assert aggregator.watermark_ns == ts(11)


def test_more_open_windows_than_the_first_capacity_equal_the_reference() -> None:
    rng = np.random.default_rng(5)
    n = 9_000
    run = tick_builders.trades(
        instrument_id=rng.integers(1, 900, n),
        ts_event=START + rng.integers(0, 400 * SECOND, n),
        price=rng.integers(90, 110, n) * SECOND,
        size=rng.integers(1, 9, n),
    )
    lateness_s = 200
    aggregator, reference = windows(lateness_s), ReferenceWindows(SIZE, lateness_s * SECOND)
    result = aggregator.fold(run)
    reference.fold(run)
    assert result.closed is not None
    assert result.closed.rows.tobytes() == reference.row_array().tobytes()
    assert len(result.late) == len(reference.late) > 0
    last = aggregator.finish(ts(400))
    reference.rows.clear()
    reference.finish(ts(400))
    assert last is not None
    assert last.rows.tobytes() == reference.row_array().tobytes()


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(UnknownVersion, match="'mbo'"):
        windows().fold(TickRun("mbo", trades((0, 1, 100, 1, b"B")).records))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size_ns": 0}, r"`size_ns` \(=0\) must be in 1"),
        ({"size_ns": MAX_SIZE_NS + 1}, "`size_ns`"),
        ({"allowed_lateness_ns": -1}, r"`allowed_lateness_ns` \(=-1\)"),
        ({"partition": 4, "partitions": 4}, r"`partition` \(=4\) must be >= 0 and < 4"),
    ],
)
def test_settings_are_checked(arguments: dict[str, int], message: str) -> None:
    defaults = {"partition": 0, "size_ns": SIZE, "allowed_lateness_ns": 0}
    with pytest.raises(ConfigError, match=message):
        WindowAggregator("u", **(defaults | arguments))


def test_records_that_come_back_do_not_alias_the_message() -> None:
    run = trades((10, 1, 100, 1, b"B"), (0, 1, 100, 1, b"B"))
    result: FoldResult = windows().fold(run)
    run.records["price"] = 7
    assert result.late["price"].tolist() == [SECOND]
