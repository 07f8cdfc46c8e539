"""The section `training`: whole updates, forward, backward and AdamW, of each model in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from benchmarks.rows import Options, Row, median, ratio
from benchmarks.step.models import run
from benchmarks.training.plain_mamba import PlainMamba
from cs3g_model.config import StudentConfig, TeacherConfig, TrainConfig
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import single_thread

N: Final = 500
PEER: Final = "plain Mamba"
_COMMAND: Final = "python -m benchmarks training"
_UPDATES: Final = 6


def rows(options: Options) -> list[Row]:
    """Measure the section."""
    torch.manual_seed(0)
    alone = "without graph and messages, as the peer"
    models: dict[str, Teacher | Student] = {
        "teacher": Teacher(TeacherConfig()),
        f"teacher {alone}": Teacher(TeacherConfig(graph=False, relations=())),
        "student": Student(StudentConfig()),
        f"student {alone}": Student(StudentConfig(graph=False, relations=())),
    }
    with single_thread():
        return [_row(options, name, model) for name, model in models.items()]


def _row(options: Options, name: str, model: Teacher | Student) -> Row:
    chunk, config = TrainConfig().chunk, model.config
    layers = config.layers if isinstance(config, TeacherConfig) else 1
    plain = PlainMamba(config.n_features, config.width, config.state_size, layers)
    ours = _our_update(model)
    windows = snapshot_tensors(run(chunk, N, config.n_features, neighbors=True))
    theirs = _update(plain, lambda: plain(windows.features))
    updates = 2 if options.quick else _UPDATES
    rates: tuple[list[float], list[float]] = ([], [])
    for update in (ours, theirs):  # the first is slower
        update()
    for _ in range(options.repeats):
        for rate, update in zip(rates, (ours, theirs), strict=True):
            started = time.perf_counter()
            for _ in range(updates):
                update()
            rate.append(updates * chunk * N / (time.perf_counter() - started))
    value, peer = median(rates[0]), median(rates[1])
    return Row(
        name=f"training: {name}, {N} instruments, chunks of {chunk} windows, one thread",
        value=value,
        unit="samples/s",
        better="higher",
        peers={PEER: peer},
        ratios={PEER: ratio(value, peer, "higher")},
        command=_COMMAND,
        note="a sample is an instrument in a window; the peer has the same D, S and blocks, and no graph",
    )


def _our_update(model: Teacher | Student) -> Callable[[], None]:
    x = snapshot_tensors(run(TrainConfig().chunk, N, model.config.n_features, neighbors=True))
    state = initial_tensors(model.state_shapes(), N)
    return _update(model, lambda: model(x, state)[0].scores)


def _update(model: nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    settings = TrainConfig()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)
    labels = torch.randn(settings.chunk, N)

    def update() -> None:
        optimizer.zero_grad()
        loss = (forward() - labels).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_norm)
        optimizer.step()

    return update
