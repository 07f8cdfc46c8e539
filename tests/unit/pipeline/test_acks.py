from __future__ import annotations

import pytest

from pipeline.acks import AckLedger


def test_messages_wait_for_the_windows_that_they_touch() -> None:
    ledger = AckLedger()
    ledger.add(7, 10)
    ledger.add(9, 20)
    assert ledger.ready(9) == []
    assert ledger.ready(10) == [7]
    assert ledger.ready(30) == [9]
    assert len(ledger) == 0


def test_nothing_is_acknowledged_past_a_message_that_waits() -> None:
    ledger = AckLedger()
    for offset, close in ((0, 30), (1, 10), (2, 0)):
        ledger.add(offset, close)
    assert ledger.ready(29) == []
    assert ledger.ready(30) == [0, 1, 2]


def test_a_message_that_touches_nothing_is_ready_at_once() -> None:
    ledger = AckLedger()
    ledger.add(0, 0)
    assert ledger.ready(0) == [0]


def test_a_rewound_offset_is_refused() -> None:
    ledger = AckLedger()
    ledger.add(5, 10)
    with pytest.raises(ValueError, match=r"`offset` \(=5\) must be larger"):
        ledger.add(5, 10)
