"""The level at which ticks are compressed is the one that a producer's own encoder uses."""

from __future__ import annotations

import cramjam
import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from topics.compression import ZSTD_LEVEL, fast_zstd
from topics.tick_builders import trades

ZSTD = 4  # as Kafka numbers its codecs
HEADER_BYTES = 61


def test_a_producers_batch_is_compressed_at_the_level() -> None:
    assert fast_zstd() == "zstd"
    n = 1000
    rng = np.random.default_rng(3)
    value = trades(
        instrument_id=rng.integers(1, 500, n),
        ts_event=np.arange(n) * 1_000_000,
        price=10**11 + np.cumsum(rng.integers(-5, 6, n)) * 10**7,
        size=rng.integers(1, 500, n),
    ).records.tobytes()
    plain, packed = _batch(0, value), _batch(ZSTD, value)
    assert packed == bytes(cramjam.zstd.compress(plain, level=ZSTD_LEVEL))
    assert packed != bytes(cramjam.zstd.compress(plain, level=3))


def _batch(codec: int, value: bytes) -> bytes:
    """Return the records of a producer's batch, as they lie behind its header."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 2**20)
    assert builder.append(0, 0, b"k", value, []) is not None
    return bytes(builder.build())[HEADER_BYTES:]
