"""Ticks that are held back: which ones, where they come again, and that windows take or refuse them as they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.windows import WindowAggregator
from replay.config import ReplayConfig
from replay.errors import ConfigError
from replay.lateness import HeldBack, Lateness
from replay.runner import run_replay
from replay.sinks import MemorySink
from tests.unit.replay.factories import cut, memory_source, trades
from topics.envelope import Envelope
from topics.ticks import decode_ticks
from topics.types import NANOS_PER_SECOND as S
from topics.types import RecordArray

PINNED = [0, 0, 591, 0, 0, 0, 0, 335, 409, 0, 444, 0]

EXACT = ("ts_close", "instrument_id", "n_ticks", "open", "high", "low", "close", "volume", "ts_last")
"""Columns of a window that no order of arrival changes."""


def market(n: int = 2000, seed: int = 0) -> RecordArray:
    rng = np.random.default_rng(seed)
    return trades(np.sort(rng.integers(0, 60 * S, n)), ids=rng.integers(1, 5, n), prices=rng.uniform(1, 9, n))


def reordered(records: RecordArray, lateness: Lateness, rows: int) -> tuple[RecordArray, int]:
    held = HeldBack(lateness, "ts_event")
    chunks = list(held.reorder(cut(records, rows)))
    assert all(len(chunk) for chunk in chunks)
    return np.concatenate(chunks), held.n_late


def test_the_share_the_delays_and_their_spread_are_as_asked() -> None:
    delays = Lateness(0.1, 5 * S, seed=3).delays_ns(0, 200_000).astype(np.int64)
    late = delays[delays > 0]
    assert len(late) == pytest.approx(20_000, rel=0.03)
    assert (late.min() < S // 100, late.max() > 5 * S - S // 100, late.max() <= 5 * S) == (True,) * 3
    assert late.mean() == pytest.approx(2.5 * S, rel=0.02)
    assert (Lateness(1.0, 1).delays_ns(7, 100) == 1).all()


def test_a_delay_belongs_to_the_ticks_number_and_the_seed() -> None:
    whole = Lateness(0.3, 1000, seed=1).delays_ns(0, 100)
    np.testing.assert_array_equal(Lateness(0.3, 1000, seed=1).delays_ns(40, 60), whole[40:])
    assert (Lateness(0.3, 1000, seed=2).delays_ns(0, 100) != whole).any()
    # Written down: another release must hold back the same ticks.
    assert whole[:12].tolist() == PINNED


def test_a_tick_comes_behind_all_that_is_older_than_its_delay() -> None:
    records, lateness = market(), Lateness(0.2, 3 * S)
    delays = lateness.delays_ns(0, len(records))
    found, n_late = reordered(records, lateness, 64)
    assert n_late == np.count_nonzero(delays)
    # A plain sort of the whole, in Python's integers.
    due = [int(ts) + int(delay) for ts, delay in zip(records["ts_event"], delays, strict=True)]
    order = sorted(range(len(records)), key=lambda i: (due[i], i))
    assert found.tobytes() == records[order].tobytes()
    assert found["ts_event"].tobytes() != records["ts_event"].tobytes()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0.05, 1.0),
    st.integers(1, 50),
)
def test_chunks_change_no_byte(
    times: list[int], rows: int, others: int, share: float, longest_ns: int
) -> None:
    # Times that go back as well, as the recorder's order has them.
    records, lateness = trades(times, ids=1), Lateness(share, longest_ns)
    found, _ = reordered(records, lateness, rows)
    assert found.tobytes() == reordered(records, lateness, others)[0].tobytes()
    assert sorted(found["sequence"].tolist()) == list(range(len(times)))


async def windows_of(
    lateness: Lateness | None, allowed_ns: int, **options: object
) -> tuple[np.ndarray, int, str]:
    """Replay, and fold what comes into windows: their rows, how many ticks were late, and the digest."""
    records, sink = market(), MemorySink()
    config = ReplayConfig(run_id="r", partitions=2, late=lateness, **options)  # type: ignore[arg-type]
    source = memory_source(records, symbols=tuple("ABCD"), rows=300)
    report = await run_replay(config, [source], sink)
    assert report.ticks == len(records)
    expected = 0 if lateness is None else np.count_nonzero(lateness.delays_ns(0, len(records)))
    assert report.held_back == expected
    rows, late = [], 0
    for partition, messages in sorted(sink.messages.items()):
        windows = WindowAggregator("u", partition, S, allowed_ns, partitions=2)
        runs = []
        for message in messages[:-1]:
            result = windows.fold(decode_ticks(message.value, Envelope.from_headers(message.headers)))
            late += len(result.late)
            runs.append(result.closed)
        runs.append(windows.finish(int(records["ts_event"].max())))
        rows += [run.rows for run in runs if run is not None]
    found = np.concatenate(rows)
    assert int(found["n_ticks"].sum()) + late == len(records)  # nothing is lost
    return found, late, report.digest


async def test_windows_that_wait_long_enough_do_not_notice() -> None:
    undisturbed, n_late, digest = await windows_of(None, 0)
    assert n_late == 0
    disturbed, n_late, other_digest = await windows_of(Lateness(0.2, 3 * S), 3 * S)
    assert n_late == 0
    assert other_digest != digest  # the order is another one
    for name in EXACT:
        np.testing.assert_array_equal(disturbed[name], undisturbed[name], err_msg=name)


async def test_windows_that_do_not_wait_refuse_the_same_ticks_in_every_run() -> None:
    lateness = Lateness(0.2, 3 * S, seed=5)
    first = await windows_of(lateness, S)
    assert first[1] > 50
    for options in ({"batch_ticks": 7}, {"speed": 1e6}):
        again = await windows_of(lateness, S, **options)
        assert again[0].tobytes() == first[0].tobytes()
        assert again[1:] == first[1:]
    other = await windows_of(replace(lateness, seed=6), S)
    assert other[1] != first[1]


@pytest.mark.parametrize(
    ("text", "share", "longest_ns"),
    [
        ("1%:5s", 0.01, 5 * S),
        ("0.5:250ms", 0.5, S // 4),
        (" 100% : 1m ", 1.0, 60 * S),
        ("1e0%:1s", None, None),
    ],
)
def test_texts_say_share_and_delay(text: str, share: float | None, longest_ns: int | None) -> None:
    if share is None:
        with pytest.raises(ConfigError, match="like 1%:5s"):
            Lateness.parse(text)
    else:
        assert Lateness.parse(text, 4) == Lateness(share, longest_ns, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "1%", "5s", "1%:", "x:5s", "1%:soon", "0%:5s", "101%:5s", "1%:0s", "1.2.3:5s"]
)
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="late ticks") as caught:
        Lateness.parse(text)
    assert "\n" not in str(caught.value)


def test_a_seed_is_not_below_0() -> None:
    with pytest.raises(ConfigError, match=r"seed of late ticks \(=-1\)"):
        Lateness(0.1, 1, seed=-1)
