"""The gate of a partition: in order, once each, none missing, whatever the client repeats or throws away."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.delivery import DeliveryGate, Verdict

TAKE, DROP, LOOK = Verdict.TAKE, Verdict.DROP, Verdict.LOOK


def test_messages_in_order_are_taken_and_repetitions_dropped() -> None:
    gate = DeliveryGate(5)
    assert [gate.observe(offset) for offset in (5, 6, 6, 5, 7)] == [TAKE, TAKE, DROP, DROP, TAKE]


def test_a_first_message_beyond_the_committed_offset_leads_to_a_rewind() -> None:
    gate = DeliveryGate(270)
    assert gate.observe(271) is LOOK
    assert not gate.resolve(271, first_there=270)
    assert gate.observe(272) is DROP
    assert gate.expected == 270
    gate.rewound()
    assert [gate.observe(offset) for offset in (270, 271, 272)] == [TAKE, TAKE, TAKE]


def test_a_rewind_that_leads_beyond_the_gap_is_asked_for_again() -> None:
    gate = DeliveryGate(270)
    for offset in (271, 280):
        assert gate.observe(offset) is LOOK
        assert not gate.resolve(offset, first_there=270)
        gate.rewound()
    assert gate.observe(270) is TAKE


def test_offsets_that_are_not_there_are_passed_over() -> None:
    gate = DeliveryGate(270)
    assert gate.observe(300) is LOOK
    assert gate.resolve(300, first_there=300)
    assert [gate.observe(offset) for offset in (300, 301)] == [DROP, TAKE]


def test_a_gap_that_is_partly_there_is_rewound_to_what_is() -> None:
    gate = DeliveryGate(270)
    assert gate.observe(300) is LOOK
    assert not gate.resolve(300, first_there=290)
    assert gate.expected == 290


@settings(max_examples=200, deadline=None)
@given(data=st.data(), committed=st.integers(0, 5), holes=st.sets(st.integers(0, 30)))
def test_a_client_that_throws_away_and_repeats_costs_no_message(
    data: st.DataObject, committed: int, holes: set[int]
) -> None:
    """The client reads a log with holes; now and then it loses or repeats some of what it fetched."""
    log = [offset for offset in range(committed, 31) if offset not in holes]
    gate = DeliveryGate(committed)
    taken: list[int] = []
    position, faults = committed, 40
    while position <= 30:
        batch = [offset for offset in log if offset >= position][: data.draw(st.integers(1, 6))]
        if not batch:
            break
        position = batch[-1] + 1
        if faults and data.draw(st.booleans()):
            faults -= 1
            batch = batch[data.draw(st.integers(0, len(batch))) :]  # lost before the flow resumed
        if faults and batch and data.draw(st.booleans()):
            faults -= 1
            batch = [batch[0], *batch]
        for offset in batch:
            verdict = gate.observe(offset)
            if verdict is LOOK:
                first_there = next(there for there in log if there >= gate.expected)
                if not gate.resolve(offset, first_there):
                    position = gate.expected
                    gate.rewound()
                    break
                verdict = TAKE
            if verdict is TAKE:
                taken.append(offset)
    # The tail may be lost with nothing after it to show so; what came through has no gap and no repetition.
    assert taken == log[: len(taken)]
