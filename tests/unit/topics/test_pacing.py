"""A consumer rests only after answers that are empty and came at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from topics.pacing import FetchPacer, Work, answer_bytes


def answer(*partitions: tuple[int, bytes]) -> Any:
    return SimpleNamespace(
        topics=[("t", [(number, error, 7, records) for number, (error, records) in enumerate(partitions)])]
    )


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer((0, b""), (0, b"")), 0),
        (answer((0, b"some"), (0, b"records")), 11),
        (answer((3, b""), (0, b"")), 1),
        (answer((0, None), (0, b"")), 0),
        (SimpleNamespace(topics=[]), 0),
    ],
    ids=["nothing", "records", "an error", "null", "no topics"],
)
def test_an_answers_size_is_its_records_and_an_error_is_news(response: Any, expected: int) -> None:
    assert answer_bytes(response) == expected


def test_rests_an_eighth_of_the_silence_within_bounds() -> None:
    pacer = FetchPacer(0.001, 0.02, now_s=100.0)
    rests = [pacer.rest_s(at, at + 0.001, is_empty=True) for at in (100.0, 100.079, 109.0)]
    assert rests == pytest.approx([0.001, 0.01, 0.02])


def test_news_end_the_silence() -> None:
    pacer = FetchPacer(0.001, 0.02, now_s=100.0)
    assert pacer.rest_s(104.0, 104.001, is_empty=False) == 0.0
    assert pacer.rest_s(104.001, 104.001, is_empty=True) == 0.001


def test_rests_shortly_when_news_have_come_after_such_a_silence_before() -> None:
    pacer = FetchPacer(0.001, 0.02, now_s=100.0)
    pacer.rest_s(100.25, 100.25, is_empty=False)
    rests = [pacer.rest_s(at, at, is_empty=True) for at in (100.4, 100.46, 100.5, 100.54, 100.75)]
    assert rests == pytest.approx([0.0125, 0.005, 0.001, 0.005, 0.02])


def test_does_not_rest_where_the_broker_held_the_fetch() -> None:
    assert FetchPacer(0.001, 0.02, now_s=0.0).rest_s(100.0, 100.5, is_empty=True) == 0.0


async def test_a_consumer_waits_until_another_thread_is_done_with_the_messages() -> None:
    work = Work()
    await work.end()  # nothing has come
    work.begin()
    waiting = asyncio.create_task(work.end())
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(work.done)
    await waiting
    await work.end()  # and no second time


async def test_the_thread_that_works_asks_for_no_more_meanwhile_unless_a_backlog_is_there() -> None:
    work = Work()
    work.begin_here()
    await work.end_here()  # a backlog: the consumer did not say that it waits
    work.begin()
    work.begin_here()
    waiting = asyncio.create_task(work.end_here())
    await asyncio.sleep(0)
    assert not waiting.done()
    work.done()
    await waiting


async def test_nobody_waits_longer_than_work_takes() -> None:
    work = Work()
    work.begin()
    work.begin_here()
    async with asyncio.timeout(5):
        await work.end()
        await work.end_here()


def test_work_is_done_in_silence_where_no_loop_waits_for_it() -> None:
    work = Work()
    work.done()
    asyncio.run(begin(work))
    work.done()


async def begin(work: Work) -> None:
    work.begin()
