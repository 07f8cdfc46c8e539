"""Vectors in kernels: what each operation does, and that a CPU without wide registers gives the same bits."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from cs3g_model.lane_memory import load, store
from cs3g_model.lanes import (
    LANES,
    fma,
    larger,
    magnitude,
    select_positive,
    smaller,
)
from cs3g_model.linear_kernel import BLOCK, dense
from cs3g_model.vector_math import silu, softplus

Array = NDArray[np.float32]


def layers(p: Array, w: Array) -> None:
    dense(p, 0, p, 0, 8, 16, w, 0, 16 * BLOCK)
    for n in range(16 * BLOCK, 24 * BLOCK, LANES):
        store(w, n, silu(softplus(load(w, n)) - load(w, n - 16 * BLOCK)) / load(w, n))


def digest() -> str:
    g = np.random.default_rng(0)
    p, w = g.standard_normal(300, np.float32), g.standard_normal(32 * BLOCK, np.float32)
    numba.njit(error_model="numpy")(layers)(p, w)
    return hashlib.sha256(w.tobytes()).hexdigest()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names x86 CPUs")
@pytest.mark.parametrize("cpu", ["nehalem", "haswell"])
def test_narrow_registers_give_the_same_bits(cpu: str) -> None:
    if cpu == "haswell" and "fma" not in str(numba.core.codegen.get_host_cpu_features()):
        pytest.skip("this CPU has no fused multiply-add")
    code = "from tests.unit.cs3g_model.test_lanes import digest; print(digest())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""},
        cwd=Path(__file__).parents[3],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == digest()


@numba.njit(error_model="numpy")
def operate(x: Array, y: Array, out: Array) -> None:
    a, b = load(x, 0), load(y, 0)
    for i, value in enumerate(
        (smaller(a, b), larger(a, b), magnitude(a), select_positive(a, b, a), a - b, a / b)
    ):
        store(out, i * LANES, value)
    store(out, 6 * LANES, fma(a, b, a))
    store(out, 7 * LANES, np.float32(2) * a + np.float32(1))


def test_operations_are_numpys() -> None:
    g = np.random.default_rng(1)
    x, y = g.standard_normal(LANES, np.float32), g.standard_normal(LANES, np.float32)
    out = np.empty((8, LANES), np.float32)
    operate(x, y, out)
    wide = x.astype(np.float64) * y + x  # exact but for one rounding
    expected = [np.minimum(x, y), np.maximum(x, y), abs(x), np.where(x > 0, y, x), x - y, x / y]
    np.testing.assert_array_equal(
        out, [*expected, wide.astype(np.float32), np.float32(2) * x + np.float32(1)]
    )
