"""A consumer rests only after answers that are empty and came at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from topics.pacing import LEAST_S, FetchPacer, is_empty


def answer(*partitions: tuple[int, bytes]) -> Any:
    return SimpleNamespace(
        topics=[("t", [(number, error, 7, records) for number, (error, records) in enumerate(partitions)])]
    )


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer((0, b""), (0, b"")), True),
        (answer((0, b""), (0, b"records")), False),
        (answer((3, b""), (0, b"")), False),
        (SimpleNamespace(topics=[]), True),
    ],
    ids=["nothing", "records in one partition", "an error", "no topics"],
)
def test_an_answer_is_empty_without_records_and_errors(response: Any, expected: bool) -> None:
    assert is_empty(response) is expected


def test_rests_an_eighth_of_the_silence_within_bounds() -> None:
    pacer = FetchPacer(most_s=0.02, now_s=100.0)
    rests = [pacer.rest_s(at, at + 0.001, is_empty=True) for at in (100.0, 100.079, 109.0)]
    assert rests == pytest.approx([LEAST_S, 0.01, 0.02])


def test_news_end_the_silence() -> None:
    pacer = FetchPacer(most_s=0.02, now_s=100.0)
    assert pacer.rest_s(104.0, 104.001, is_empty=False) == 0.0
    assert pacer.rest_s(104.001, 104.001, is_empty=True) == LEAST_S


def test_does_not_rest_where_the_broker_held_the_fetch() -> None:
    assert FetchPacer(most_s=0.02, now_s=0.0).rest_s(100.0, 100.5, is_empty=True) == 0.0
