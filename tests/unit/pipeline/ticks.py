"""Ticks for the pipeline's tests: small ones by hand, arbitrary ones by hypothesis.

Times are whole seconds after `START`, so that bars of one second fit the windows too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from topics import tick_builders
from topics.runs import TickRun
from topics.types import UNDEF_PRICE

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND  # a multiple of the tests' window sizes
SIZE = 10 * SECOND
SCHEMAS = ("trades", "mbp-1", "tbbo", "bbo-1s", "ohlcv-1s")


def ts(second: float) -> int:
    return START + int(second * SECOND)


def trades(*ticks: tuple[float, int, int, int, bytes]) -> TickRun:
    """(second, instrument, price in cents, size, side) each."""
    seconds, instruments, cents, sizes, sides = (list(column) for column in zip(*ticks, strict=True))
    return tick_builders.trades(
        instrument_id=instruments,
        ts_event=[ts(second) for second in seconds],
        price=[cent * 10_000_000 for cent in cents],
        size=sizes,
        side=sides,
    )


def cut(run: TickRun, length: int) -> Iterator[TickRun]:
    for start in range(0, len(run.records), length):
        yield TickRun(run.schema, run.records[start : start + length])


def cut_at(run: TickRun, places: Sequence[int]) -> list[TickRun]:
    """Cut before each place; places beyond the end and repeated ones make no empty run."""
    edges = sorted({0, len(run.records), *(p for p in places if p < len(run.records))})
    return [TickRun(run.schema, run.records[a:b]) for a, b in pairwise(edges) if b > a]


PRICES = st.sampled_from([99, 100, 101, 102, 103]).map(lambda p: p * SECOND)
ODD_PRICES = st.one_of(PRICES, st.sampled_from([0, -SECOND, UNDEF_PRICE, 2**62, 7]))
SIZES = st.integers(0, 5)


@st.composite
def tick_runs(
    draw: Any,
    schema: str = "trades",
    max_ticks: int = 30,
    seconds: int = 80,
    instruments: int = 3,
    odd: bool = True,
) -> TickRun:
    """Arbitrary ticks of a schema in arbitrary order; heartbeats and refused rows among them if `odd`."""
    prices = ODD_PRICES if odd else PRICES
    n = draw(st.integers(1, max_ticks))

    def column(values: Any) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    second = st.integers(0, seconds)
    times = second.map(ts)
    common = {
        "instrument_id": column(st.integers(0 if odd else 1, instruments)),
        "ts_event": np.array(
            column(st.one_of(times, times, times, st.just(2**64 - 1)) if odd else times), np.uint64
        ),
    }
    if schema == "trades":
        return tick_builders.trades(
            **common,
            price=column(prices),
            size=column(SIZES),
            side=column(st.sampled_from([b"A", b"B", b"N"])),
        )
    if schema == "ohlcv-1s":
        low, spread = np.array(column(prices)), np.array(column(st.integers(0, 3)))
        low = np.minimum(low, 2**62)
        high = low + spread * (low < 2**61)
        return tick_builders.bars(
            **common, open=high, high=high, low=low, close=low, volume=column(SIZES), schema=schema
        )
    one_side = st.one_of(prices, prices, st.just(UNDEF_PRICE))
    extra = {} if schema == "bbo-1s" else {"action": column(st.sampled_from([b"T", b"M", b"A"]))}
    return tick_builders.quotes(
        **common,
        bid_price=column(one_side),
        ask_price=column(one_side),
        bid_size=column(SIZES),
        ask_size=column(SIZES),
        price=column(prices),
        size=column(SIZES),
        side=column(st.sampled_from([b"A", b"B", b"N"])),
        schema=schema,
        **extra,
    )


@st.composite
def mixed_runs(draw: Any, max_runs: int = 4, max_ticks: int = 12) -> list[TickRun]:
    """Several runs of different schemas, of the same instruments and times."""
    schemas = draw(st.lists(st.sampled_from(SCHEMAS), min_size=1, max_size=max_runs))
    odd = draw(st.booleans())
    return [draw(tick_runs(schema, max_ticks=max_ticks, odd=odd)) for schema in schemas]
