"""The section `step`: every repetition times ours, the peers and the teacher in turn, on the same arrays."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.rows import Options, Row, median, ratio
from benchmarks.step.models import ASKED, SHIPPED, run, student, teacher, write_for_peers
from benchmarks.step.peer import Peer, PeerMissingError
from cs3g_model.config import StudentConfig
from cs3g_model.protocol import StreamingModel
from cs3g_model.teacher_runtime import single_thread

TARGET_US: Final = {500: 45.0, 5000: 400.0}
TEACHER_TARGET_MS: Final = 10.0
RATIOS: Final = {"onnxruntime": 8.0, "torch.compile": 3.0, "teacher": 25.0}
CURVE: Final = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
TOLERANCE: Final = 2e-5
_COMMAND: Final = "python -m benchmarks step"
_RUN: Final = 32


def rows(options: Options) -> list[Row]:
    """Measure the section."""
    with single_thread():
        found = [row for n in TARGET_US for row in _beside_peers(options, n)]
        return [*found, *_shipped(options), *_curve(options)]


def step_us(model: StreamingModel, N: int, F: int, steps: int, *, neighbors: bool) -> Callable[[], float]:
    """Return what measures the median microseconds of `steps` steps."""
    window = run(1, N, F, neighbors=neighbors)
    _, state = model.step(window, model.initial_state(N))  # compiles

    def measure() -> float:
        taken = []
        for _ in range(steps):
            started = time.perf_counter()
            model.step(window, state)
            taken.append(time.perf_counter() - started)
        return float(np.median(taken)) * 1e6

    return measure


def many_us(model: StreamingModel, N: int, F: int, *, neighbors: bool) -> Callable[[], float]:
    """Return what measures the microseconds a window of a run of `_RUN`."""
    windows = run(_RUN, N, F, neighbors=neighbors)
    _, state = model.step_many(windows, model.initial_state(N))

    def measure() -> float:
        taken = []
        for _ in range(5):
            started = time.perf_counter()
            model.step_many(windows, state)
            taken.append(time.perf_counter() - started)
        return float(np.median(taken)) * 1e6 / _RUN

    return measure


def _beside_peers(options: Options, N: int) -> list[Row]:
    model, tensors = student(ASKED)
    steps = max(400_000 // N, 40) // (4 if options.quick else 1)
    ours = {
        "step": step_us(model, N, ASKED.n_features, steps, neighbors=False),
        "step_many": many_us(model, N, ASKED.n_features, neighbors=False),
    }
    if N <= 500:
        full = teacher()
        ours["teacher"] = step_us(full, N, full.config.n_features, 9, neighbors=True)
    weights, windows = options.work / "weights.npz", options.work / f"run{N}.npz"
    write_for_peers(weights, ASKED, tensors)
    first = run(4, N, ASKED.n_features, neighbors=False)
    np.savez(windows, features=first.features)
    expected, _ = model.step_many(first, model.initial_state(N))
    taken: dict[str, list[float]] = {name: [] for name in ours}
    notes = []
    with ExitStack() as stack:
        peers = {}
        for name in ("onnxruntime", "torch.compile"):
            try:
                peer = stack.enter_context(_peer(options.peers_python, name, weights, windows, steps))
            except PeerMissingError as error:
                notes.append(str(error))
                continue
            np.testing.assert_allclose(peer.scores, expected, rtol=0, atol=TOLERANCE, err_msg=name)
            peers[name] = peer
            taken[name] = []
        for _ in range(options.repeats):
            for name, measure in ours.items():
                taken[name].append(measure())
            for name, peer in peers.items():
                taken[name].append(peer.median_us())
    medians = {name: median(values) for name, values in taken.items()}
    others = {name: value for name, value in medians.items() if name in RATIOS}
    ratios = {name: ratio(medians["step"], value, "lower") for name, value in others.items()}
    named = f"D=16 S=4 F=8 R=8, {N} instruments"
    found = [
        Row(
            name=f"step: student, {named}",
            value=medians["step"],
            unit="us",
            better="lower",
            target=TARGET_US[N],
            peers=others,
            ratios=ratios,
            ratio_targets={name: wanted for name, wanted in RATIOS.items() if name != "teacher" or N <= 500},
            command=_COMMAND,
            note=f"p50, one thread, scores equal within {TOLERANCE:g}" + "".join(f"; {n}" for n in notes),
        ),
        Row(
            name=f"step: student's step_many, a window of {_RUN}, {named}",
            value=medians["step_many"],
            unit="us",
            better="lower",
            target=TARGET_US[N],
            command=_COMMAND,
        ),
    ]
    if "teacher" in medians:
        found.append(
            Row(
                name=f"step: teacher, {N} instruments",
                value=medians["teacher"] / 1e3,
                unit="ms",
                better="lower",
                target=TEACHER_TARGET_MS,
                command=_COMMAND,
            )
        )
    return found


def _peer(python: Path | None, name: str, weights: Path, windows: Path, steps: int) -> Peer:
    if python is None:
        raise PeerMissingError(f"{name}: no environment for peers")
    return Peer(python, name, weights, windows, max(steps // 4, 10))


def _shipped(options: Options) -> list[Row]:
    model, _ = student(SHIPPED)
    measures = {
        N: step_us(model, N, SHIPPED.n_features, max(200_000 // N, 40), neighbors=True) for N in TARGET_US
    }
    return [
        Row(
            name=f"step: student as shipped (F=12, sector, correlation, lead), {N} instruments",
            value=median([measure() for _ in range(options.repeats)]),
            unit="us",
            better="lower",
            command=_COMMAND,
            note="p50, one thread; no peer has its messages",
        )
        for N, measure in measures.items()
    ]


def _curve(options: Options) -> list[Row]:
    return [_curve_row(options, ASKED, N) for N in CURVE if N not in TARGET_US]


def _curve_row(options: Options, config: StudentConfig, N: int) -> Row:
    model, _ = student(config)
    measure = step_us(model, N, config.n_features, max(200_000 // N, 30), neighbors=False)
    return Row(
        name=f"step: student, D=16 S=4 F=8 R=8, {N} instruments",
        value=median([measure() for _ in range(options.repeats)]),
        unit="us",
        better="lower",
        command=_COMMAND,
        note="p50, one thread",
    )
