"""How long a silent tick partition may hold the windows back."""

from __future__ import annotations

import pytest

from pipeline.config import LIVE_IDLE_TIMEOUT_NS, load_config


@pytest.mark.parametrize(
    ("settings", "expected_ns"),
    [
        ({}, LIVE_IDLE_TIMEOUT_NS),
        ({"idle_timeout_ns": "250ms"}, 250_000_000),
        ({"idle_timeout_ns": 0}, 0),
        ({"mode": "replay", "topic_prefix": "replay.a."}, 0),
    ],
)
def test_the_timeout_in_force(settings: dict[str, object], expected_ns: int) -> None:
    assert load_config(**settings).idle_after_ns == expected_ns
