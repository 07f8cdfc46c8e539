"""Units and sentinels that every record of the wire shares."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Mode = Literal["live", "replay"]
"""Whether a message belongs to the live market or to a replay; nobody may trade on a replay."""

Role = Literal["student", "teacher"]
"""Which model made a prediction: the student serves, the teacher runs in its shadow."""

PRICE_SCALE: Final = 1_000_000_000
"""Prices are int64 in units of 1e-9."""

UNDEF_PRICE: Final = 2**63 - 1
"""DBN's null price."""

UNDEF_TIMESTAMP: Final = 2**64 - 1
"""DBN's null timestamp."""

HEARTBEAT_INSTRUMENT_ID: Final = 0
"""A tick record of this instrument moves its partition's watermark to `ts_event` and is nothing else."""

NANOS_PER_SECOND: Final = 1_000_000_000
NANOS_PER_DAY: Final = 86_400 * NANOS_PER_SECOND

Int64Array = NDArray[np.int64]
UInt32Array = NDArray[np.uint32]
Int32Array = NDArray[np.int32]
Int16Array = NDArray[np.int16]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
RecordArray = NDArray[np.void]
