"""The ticks of the benchmarks: real trades where they are at hand, generated ones otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from replay.config import ReplayConfig
from replay.runner import run_replay
from replay.sinks import MemorySink
from replay.sources.base import Selection, Source, StreamSource, Tally
from replay.sources.open import open_sources
from topics.control import Instrument
from topics.envelope import Message
from topics.tick_builders import trades
from topics.types import NANOS_PER_SECOND, RecordArray

REAL_TRADES: Final = "ticks/us_equity_trades_20131007_09.parquet"
START_NS: Final = 1_700_000_000 * NANOS_PER_SECOND
_PRICE: Final = 100 * NANOS_PER_SECOND


@dataclass(frozen=True)
class Filled:
    """What goes to the ticks topic: messages by partition, the last of each is the end of the replay."""

    instruments: list[Instrument]
    messages: dict[int, list[Message]]
    n_ticks: int
    ts_first: int
    ts_last: int
    what: str


def catch_up_ticks(data: Path | None, run_id: str, *, batch_ticks: int, limit: int | None = None) -> Filled:
    """Return the 1.7 M real trades as a replay sends them, or as many generated ones of four instruments."""
    path = None if data is None else data / REAL_TRADES
    if path is not None and path.exists():
        sources, what = open_sources([path], Selection()), "real trades"
    else:
        sources, what = [_generated(1_684_116)], "generated trades"
    sink = MemorySink()
    config = ReplayConfig(run_id=run_id, universe="bench", partitions=4, batch_ticks=batch_ticks, limit=limit)
    report = asyncio.run(run_replay(config, sources, sink))
    return Filled(
        sink.instruments, dict(sink.messages), report.ticks, report.ts_first or 0, report.ts_last or 0, what
    )


def instruments_of(count: int) -> list[Instrument]:
    """Return instruments 1..count."""
    return [
        Instrument(instrument_id=number, symbol=f"S{number:05d}", universe="bench")
        for number in range(1, count + 1)
    ]


class TickCycle:
    """Trades of many instruments without end: one block of arrays, moved in time for each use.

    Parameters
    ----------
    instruments, partitions
        Instrument ids are 1..instruments; id % partitions is the partition.
    ticks_per_window, size_ns
        How dense they are.
    """

    def __init__(self, *, instruments: int, partitions: int, ticks_per_window: int, size_ns: int) -> None:
        generator = np.random.default_rng(11)
        times = np.sort(generator.integers(0, size_ns, ticks_per_window))
        ids = generator.integers(1, instruments + 1, ticks_per_window)
        ids[:instruments] = generator.permutation(instruments)[: len(ids)] + 1
        price = np.rint(_PRICE * np.exp(np.cumsum(generator.standard_normal(ticks_per_window)) * 1e-5))
        block = trades(
            instrument_id=ids,
            ts_event=times + START_NS // size_ns * size_ns,
            price=price.astype(np.int64),
            size=generator.integers(1, 500, ticks_per_window),
            side=generator.choice([b"A", b"B", b"N"], ticks_per_window),
        ).records
        self._parts = [block[block["instrument_id"] % partitions == part] for part in range(partitions)]
        self._size_ns = size_ns
        self.first_close_ns = (START_NS // size_ns + 1) * size_ns

    def window(self, index: int, partition: int) -> RecordArray:
        """Return one partition's trades of window `index`, in order; prices move a little from window to window."""
        # As opaque bytes: numpy copies structured records field by field, some ten times slower.
        part = self._parts[partition]
        records: RecordArray = part.view(np.dtype((np.void, part.dtype.itemsize))).copy().view(part.dtype)
        for name in ("ts_event", "ts_recv"):
            records[name] += np.uint64(index * self._size_ns)
        # Moves every instrument apart from the others, or returns and relations would be empty work.
        phase = records["instrument_id"].astype(np.int64) * (index + 1) % 101 - 50
        records["price"] += phase * 100_000
        return records


def _generated(count: int) -> Source:
    symbols = ("A", "B", "C", "D")

    def read(tally: Tally) -> Iterator[RecordArray]:
        generator = np.random.default_rng(5)
        step_ns = 3 * 6.5 * 3600 * 1e9 / count
        for start in range(0, count, 32_768):
            n = min(32_768, count - start)
            tally.rows += n
            yield trades(
                instrument_id=generator.choice([1, 2, 3, 4], n, p=[0.6, 0.2, 0.12, 0.08]),
                ts_event=START_NS + (np.arange(start, start + n) * step_ns).astype(np.int64),
                price=(_PRICE + generator.integers(-1000, 1000, n) * 10_000_000),
                size=generator.integers(1, 500, n),
                side=b"N",
            ).records

    return StreamSource("generated trades", "trades", "ts_event", symbols, read)
