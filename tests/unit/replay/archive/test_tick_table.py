"""Tables of records keep every bit of every schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ArchiveError
from replay.archive.tick_table import read_tick_table, write_tick_table
from topics.ticks import SCHEMAS, tick_schema


def random_records(schema: str, n: int) -> np.ndarray:
    """Return records of random bytes: zeros at the ends of texts and reserved bytes are among them."""
    dtype = tick_schema(schema).dtype
    raw = np.random.default_rng(3).integers(0, 256, n * dtype.itemsize, dtype=np.uint8)
    raw[np.random.default_rng(4).random(len(raw)) < 0.2] = 0
    return raw.view(dtype)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_round_trip_changes_no_bit(tmp_path: Path, schema: str) -> None:
    records = random_records(schema, 1000)
    offsets = np.repeat(np.arange(100, dtype=np.int64) + 7, 10)
    write_tick_table(tmp_path / "t.parquet", records, offsets)
    pieces = list(read_tick_table(tmp_path / "t.parquet", schema, 300))
    assert max(len(piece) for piece, _ in pieces) <= 300
    assert np.concatenate([piece for piece, _ in pieces]).tobytes() == records.tobytes()
    np.testing.assert_array_equal(np.concatenate([found for _, found in pieces]), offsets)


def test_another_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_tick_table(path, random_records("ohlcv-1d", 5), np.arange(5))
    with pytest.raises(ArchiveError, match="no table of trades records"):
        list(read_tick_table(path, "trades", 100))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArchiveError, match="no table of ohlcv-1d records"):
        list(read_tick_table(path, "ohlcv-1d", 100))
