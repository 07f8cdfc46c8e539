"""Windows by the book: one Python object a tick, every row computed from the ticks of its window at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from topics.runs import WINDOW_ROW_DTYPE, TickRun
from topics.types import PRICE_SCALE, UNDEF_PRICE, RecordArray
from topics.validity import valid_rows

BAR_S = {"ohlcv-1s": 1, "ohlcv-1m": 60, "ohlcv-1h": 3600, "ohlcv-1d": 86400}


@dataclass
class ReferenceWindows:
    size_ns: int
    lateness_ns: int
    latest_ns: int | None = None
    floor_ns: int = 0
    open: dict[tuple[int, int], list[dict[str, Any]]] = field(default_factory=dict)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    late: list[bytes] = field(default_factory=list)
    invalid: list[bytes] = field(default_factory=list)

    @property
    def watermark_ns(self) -> int:
        return (
            self.floor_ns if self.latest_ns is None else max(self.floor_ns, self.latest_ns - self.lateness_ns)
        )

    def fold(self, run: TickRun) -> None:
        bar_ns = BAR_S.get(run.schema, 0) * 10**9
        for record, valid in zip(run.records, valid_rows(run), strict=True):
            ts, instrument = int(record["ts_event"]), int(record["instrument_id"])
            if not valid or (instrument and bar_ns and self.size_ns % bar_ns):
                self.invalid.append(record.tobytes())
                continue
            watermark = self.watermark_ns
            self.latest_ns = ts if self.latest_ns is None else max(self.latest_ns, ts)
            if instrument == 0:
                continue
            close = (ts // self.size_ns + 1) * self.size_ns
            if close <= watermark:
                self.late.append(record.tobytes())
            else:
                self.open.setdefault((close, instrument), []).append(_plain(run.schema, record))
        self._close(self.watermark_ns)

    def finish(self, ts_last_ns: int) -> None:
        self.floor_ns = (ts_last_ns // self.size_ns + 1) * self.size_ns
        self._close(self.watermark_ns)

    def _close(self, watermark_ns: int) -> None:
        for key in sorted(key for key in self.open if key[0] <= watermark_ns):
            self.rows.append(_row(*key, self.open.pop(key)))

    def row_array(self) -> RecordArray:
        return np.array(self.rows, WINDOW_ROW_DTYPE)


def _plain(schema: str, record: np.void) -> dict[str, Any]:
    tick = {name: record[name].item() for name in record.dtype.names or ()}
    tick["schema"] = schema
    return tick


def _row(close: int, instrument: int, ticks: list[dict[str, Any]]) -> tuple[Any, ...]:
    trades, bars, quotes = [], [], []
    for tick in ticks:
        if tick["schema"].startswith("ohlcv"):
            bars.append(tick)
            continue
        is_trade = tick["schema"] == "trades" or tick.get("action") == b"T"
        if is_trade:
            trades.append(tick)
        if tick["schema"] == "tbbo" or not is_trade:
            quotes.append(tick)
    quotes = [q for q in quotes if "bid_px_00" in q and _side(q) != "none"]
    proper = [q for q in quotes if _side(q) == "both" and q["bid_px_00"] <= q["ask_px_00"]]
    crossed = [q for q in quotes if _side(q) == "both" and q["bid_px_00"] > q["ask_px_00"]]
    one_sided = [q for q in quotes if _side(q) == "one"]
    buy = sell = 0
    if trades:
        prints = [(t["ts_event"], t["price"], t["price"], t["price"], t["price"]) for t in trades]
        buy, sell = _aggressors(trades)
        volume = sum(t["size"] for t in trades)
        notional = _left_sum(t["price"] * (1 / PRICE_SCALE) * t["size"] for t in trades)
    elif bars:
        prints = [(b["ts_event"], b["open"], b["high"], b["low"], b["close"]) for b in bars]
        volume = sum(b["volume"] for b in bars)
        notional = _left_sum(
            (float(b["high"]) + float(b["low"]) + float(b["close"])) / 3.0 * (1 / PRICE_SCALE) * b["volume"]
            for b in bars
        )
    else:
        prints = [(q["ts_event"], *[_middle(q)] * 4) for q in proper or crossed or one_sided]
        volume, notional = 0, 0.0
    first = min(prints, key=lambda p: p[0])
    last = max(reversed(prints), key=lambda p: p[0])
    return (
        close,
        instrument,
        len(ticks),
        len(trades),
        len(quotes),
        first[1],
        max(p[2] for p in prints),
        min(p[3] for p in prints),
        last[4],
        volume,
        buy,
        sell,
        notional,
        _left_sum((b[4] / a[4] - 1.0) ** 2 for a, b in pairwise(prints)),
        _left_sum(
            (q["ask_px_00"] - q["bid_px_00"]) / (0.5 * (float(q["bid_px_00"]) + float(q["ask_px_00"])))
            for q in proper
        ),
        _left_sum(
            (q["bid_sz_00"] - q["ask_sz_00"]) / (q["bid_sz_00"] + q["ask_sz_00"])
            for q in proper
            if q["bid_sz_00"] + q["ask_sz_00"]
        ),
        max(t["ts_event"] for t in ticks),
    )


def _side(quote: dict[str, Any]) -> str:
    defined = (quote["bid_px_00"] != UNDEF_PRICE) + (quote["ask_px_00"] != UNDEF_PRICE)
    return ("none", "one", "both")[defined]


def _middle(quote: dict[str, Any]) -> int:
    sides = [p for p in (quote["bid_px_00"], quote["ask_px_00"]) if p != UNDEF_PRICE]
    return sum(sides) // len(sides)


def _aggressors(trades: list[dict[str, Any]]) -> tuple[int, int]:
    buy = sell = 0
    direction, before = b"N", None
    for trade in trades:
        if before is not None and trade["price"] != before:
            direction = b"B" if trade["price"] > before else b"A"
        before = trade["price"]
        side = direction if trade["side"] not in (b"A", b"B") else trade["side"]
        buy += trade["size"] * (side == b"B")
        sell += trade["size"] * (side == b"A")
    return buy, sell


def _left_sum(values: Any) -> float:
    total = 0.0
    for value in values:
        total += value
    return total
