"""What a step may not do: allocate more than its results, lose its vectors, or outgrow its kernel's cache."""

from __future__ import annotations

import os
import platform
import re
import tracemalloc

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from cs3g_model.jit import _files_of
from cs3g_model.kernel import run_student
from cs3g_model.linear_kernel import BLOCK, dense
from cs3g_model.student_block import silu_rows
from tests.unit.cs3g_model.factories import make_runtime, make_snapshots

Array = NDArray[np.float32]


def test_a_step_allocates_its_results_and_nothing_of_their_size() -> None:
    N = 2000
    model, s = make_runtime("student"), make_snapshots(1, N, presence=1.0)
    scores, state = model.step(s, model.initial_state(N))  # compiles, and makes the scratch memory
    results = scores.nbytes + sum(a.nbytes for a in state.arrays.values())
    tracemalloc.start()
    try:
        model.step(s, state)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        kept = model.step(s, state)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert kept[0].nbytes == scores.nbytes
    assert results <= peak < results + 8192


def test_a_run_allocates_one_state_however_long_it_is() -> None:
    N, T = 500, 40
    model, s = make_runtime("student"), make_snapshots(T, N, presence=1.0)
    _, state = model.step_many(s, model.initial_state(N))
    size = sum(a.nbytes for a in state.arrays.values())
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        model.step_many(s, state)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < size + T * N * 4 + 8192


def test_a_state_given_is_not_the_state_returned() -> None:
    model, s = make_runtime("student"), make_snapshots(1, 70)
    _, first = model.step(s, model.initial_state(70))
    kept = {name: a.copy() for name, a in first.arrays.items()}
    _, second = model.step(s, first)
    model.step(s, second)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, kept[name])
        assert not np.shares_memory(array, second.arrays[name])


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 instructions")
def test_layers_are_made_of_vector_instructions() -> None:
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("numba is off")

    def layer(p: Array, w: Array) -> None:
        dense(p, 0, p, 0, 16, 16, w, 0, 16 * BLOCK)
        silu_rows(w, 16 * BLOCK, 16)

    compiled = numba.njit(error_model="numpy")(layer)  # without a cache, whose code numba does not show
    compiled(np.ones(300, np.float32), np.ones(32 * BLOCK, np.float32))
    code = compiled.inspect_asm(compiled.signatures[0])
    fused = re.findall(r"vfn?m(?:add|sub)\d+(ps|ss)", code)
    if not fused:
        pytest.skip("this CPU has no fused multiply-add")
    assert fused.count("ps") >= 16 + 10
    assert not fused.count("ss")
    assert "vdivps" in code
    assert "vdivss" not in code


def test_the_cache_watches_every_file_that_the_kernel_is_made_of() -> None:
    files = {file.name for file in _files_of(run_student.py_func, set())}  # type: ignore[attr-defined]
    assert files >= {
        "kernel.py",
        "lane_memory.py",
        "lanes.py",
        "linear_kernel.py",
        "student_block.py",
        "student_hidden.py",
        "student_places.py",
        "student_sums.py",
        "vector_math.py",
    }
