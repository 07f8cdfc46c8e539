"""What a teacher tells of the training windows, worked out once: constants of every update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cs3g_model.distillation.explanations import attributions, keyword_mask, sensitivities
from cs3g_model.distillation.rows import LowRankRows, Rows, rows_of_graph
from cs3g_model.errors import TrainingError
from cs3g_model.inputs import ModelOutput, SnapshotTensors, initial_tensors
from cs3g_model.student import Student
from cs3g_model.teacher import Teacher
from cs3g_model.training.place import moved, moved_state

__all__ = ["Keywords", "Lesson", "attend", "shuffled"]


@dataclass(frozen=True, slots=True)
class Keywords:
    """A teacher's stable inputs.

    Attributes
    ----------
    mask
        M, (T, N, F) bool; see `explanations.keyword_mask`.
    size
        Mean |x d score / d x| of the teacher over the entries of present instruments.
    """

    mask: Tensor
    size: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a model that teaches, a teacher or an assistant, says of T windows.

    Attributes
    ----------
    scores
        (T, N), 0 where absent.
    hidden
        (T, N, E), its last hidden layer.
    scale
        c = 1 / standard deviation of the scores of all training windows; c times a score has no unit, so that
        temperatures mean the same for every teacher.
    log_dispersion
        (T, N); None if it has none.
    rows
        Its learned graph; None if it has none.
    keywords
        None if no loss asks for them.
    """

    scores: Tensor
    hidden: Tensor
    scale: float
    log_dispersion: Tensor | None = None
    rows: Rows | None = None
    keywords: Keywords | None = None

    def window(self, start: int, stop: int, device: torch.device) -> Lesson:
        """Return windows [start, stop), on a device."""
        cut: Lesson = _changed(self, lambda tensor: tensor[start:stop].to(device))
        return cut


def attend(
    model: Teacher | Student,
    x: SnapshotTensors,
    *,
    chunk: int,
    rows: bool = False,
    keywords: float | None = None,
    explainers: Sequence[Teacher | Student] = (),
    agreeing: int | None = None,
) -> Lesson:
    """Run a model over the training windows and note what it tells.

    Parameters
    ----------
    model
        The one that teaches, on any device.
    x
        The training windows, in the CPU's memory.
    chunk
        Windows at once. What an input does to scores of later windows counts up to its chunk's end, so it
        should be the chunk of the student's updates.
    rows
        Whether to keep the graph.
    keywords
        The share q of prominent entries; None works out no keywords.
    explainers, agreeing
        More models whose explanations count, and how many of all must agree (all for None).

    Raises
    ------
    TrainingError
        If the scores do not vary.
    """
    outputs = _run(model, x, chunk, with_rows=rows)
    scores = torch.cat([o.scores for o, _ in outputs])
    graph = [r for _, r in outputs if r is not None]
    dispersions = [o.log_dispersion for o, _ in outputs if o.log_dispersion is not None]
    return Lesson(
        scores=scores,
        hidden=torch.cat([o.hidden for o, _ in outputs]),
        scale=_scale_of(scores),
        log_dispersion=torch.cat(dispersions) if dispersions else None,
        rows=_join(graph) if graph else None,
        keywords=None if keywords is None else _explain([model, *explainers], x, chunk, keywords, agreeing),
    )


def shuffled(lesson: Lesson, mask: Tensor, seed: int) -> Lesson:
    """Permute what a lesson says of the instruments among those present in each window: the control.

    What a student gains from a shuffled teacher it gains from the loss's form, not from the knowledge. The
    graph and the keywords, which name instruments, are dropped.
    """
    generator = torch.Generator().manual_seed(seed)
    keys = torch.rand(mask.shape, generator=generator) + (~mask).float()
    # The present in random order take the places of the present in their own order.
    order = torch.empty_like(keys, dtype=torch.int64)
    order.scatter_(1, (~mask).float().argsort(dim=1, stable=True), keys.argsort(dim=1, stable=True))
    hidden = lesson.hidden.gather(1, order[..., None].expand_as(lesson.hidden))
    dispersion = lesson.log_dispersion
    return Lesson(
        lesson.scores.gather(1, order),
        hidden,
        lesson.scale,
        None if dispersion is None else dispersion.gather(1, order),
    )


def _run(
    model: Teacher | Student, x: SnapshotTensors, chunk: int, *, with_rows: bool
) -> list[tuple[ModelOutput, Rows | None]]:
    device = next(model.parameters()).device
    outputs: list[tuple[ModelOutput, Rows | None]] = []
    model.eval()
    with torch.no_grad():
        state = moved_state(initial_tensors(model.state_shapes(), x.mask.shape[1]), device)
        for start in range(0, len(x.mask), chunk):
            output, state = model(moved(x.window(start, start + chunk), device), state)
            rows = _rows_of(output) if with_rows else None
            output = ModelOutput(output.scores, output.hidden, output.log_dispersion)
            outputs.append((_changed(output, Tensor.cpu), _changed(rows, Tensor.cpu)))
    return outputs


def _rows_of(output: ModelOutput) -> Rows | None:
    if output.graph_rows is not None:
        return LowRankRows(*output.graph_rows)
    return None if output.graph is None else rows_of_graph(output.graph)


def _explain(
    models: Sequence[Teacher | Student], x: SnapshotTensors, chunk: int, share: float, agreeing: int | None
) -> Keywords:
    found = [_sensitivities(model, x, chunk) for model in models]
    size = attributions(x.features, found[0]).abs()[x.mask]
    mask = keyword_mask(x.features, found, x.mask, share=share, agreeing=agreeing)
    return Keywords(mask, float(size.mean()) if size.numel() else 0.0)


def _sensitivities(model: Teacher | Student, x: SnapshotTensors, chunk: int) -> Tensor:
    device = next(model.parameters()).device
    parts = []
    model.eval()
    state = moved_state(initial_tensors(model.state_shapes(), x.mask.shape[1]), device)
    for start in range(0, len(x.mask), chunk):
        window = moved(x.window(start, start + chunk), device)
        parts.append(sensitivities(model, window, state).cpu())
        with torch.no_grad():
            _, state = model(window, state)
    return torch.cat(parts)


def _scale_of(scores: Tensor) -> float:
    present = scores[scores != 0]  # absent instruments score exactly 0
    # Not by the standard deviation, which rounding keeps above 0.
    if len(present) < 2 or present.min() == present.max():
        raise TrainingError("the teacher scores every instrument alike: there is nothing to distill")
    return 1.0 / float(present.std())


def _join(parts: list[Rows]) -> Rows:
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change every tensor of a dataclass that holds tensors, dataclasses and other things."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _changed(getattr(value, f.name), change) for f in fields(value)})
    return value
