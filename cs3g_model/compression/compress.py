"""A student made smaller: prune, fine-tune, measure what each group loses in fewer bits, choose, train for it.

The order is that of "Prune-Quantize-Distill" (arXiv 2604.04988), with the distillation inside both fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from cs3g_model.compression.budget import check_budget, choose_bits
from cs3g_model.compression.integer_inputs import stored_runtime
from cs3g_model.compression.layout import Arrays, canonical
from cs3g_model.compression.lessons import School
from cs3g_model.compression.packing import Quantization, Stored
from cs3g_model.compression.quantized import QuantizedStudent
from cs3g_model.compression.sensitivity import Judge, sweep
from cs3g_model.compression.settings import CompressConfig
from cs3g_model.compression.structured import prune
from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.training.options import OnProgress, Progress

__all__ = ["Compressed", "Reporter", "compress", "pruned_within"]

OnTrial = Callable[[int, int], None]


class Reporter(Protocol):
    """Shows where a compression stands."""

    def fitting(self, title: str) -> AbstractContextManager[OnProgress]:
        """Show a fit, from its begin to its end."""
        ...

    def trying(self, title: str) -> AbstractContextManager[OnTrial]:
        """Show trials, told as their number done and in all."""
        ...


@dataclass(frozen=True, slots=True)
class Compressed:
    """A compressed student.

    Attributes
    ----------
    config, stored
        Its configuration, and its tensors as they are to be saved.
    quantization
        Bits, grids of rounded inputs, and the sweep.
    metrics
        On the validation windows, each with `agreement` and `rank_ic`: of the student before ("parent"), pruned
        and fine-tuned ("tuned", its agreement with the parent), rounded without training ("rounded") and with it
        ("trained", their agreement with the tuned student, or the parent where nothing was pruned); and which
        of the two was kept.
    """

    config: StudentConfig
    stored: dict[str, Stored]
    quantization: Quantization
    metrics: dict[str, Any]

    def runtime(self, model_id: str) -> StudentRuntime:
        """Return the streaming model."""
        return stored_runtime(self.config, self.stored, self.quantization.activations, model_id)


def pruned_within(
    config: StudentConfig, tensors: Arrays, budget_bytes: int, settings: CompressConfig
) -> tuple[StudentConfig, Arrays]:
    """Prune a student and check that it can fit a budget: the first step of `compress`, quick and without data.

    Raises
    ------
    CompressionError
        If a size is not within the student's own.
    BudgetError
        If no choice of bits fits.
    """
    sizes = {"width": settings.width, "state_size": settings.state_size, "rank": settings.rank}
    small, pruned = prune(config, tensors, **sizes)
    check_budget(canonical(small, pruned), budget_bytes)
    return small, pruned


def compress(
    config: StudentConfig,
    tensors: Arrays,
    data: LabeledSnapshots,
    budget_bytes: int,
    settings: CompressConfig | None = None,
    *,
    teacher: tuple[TeacherConfig, Arrays] | None = None,
    reporter: Reporter | None = None,
) -> Compressed:
    """Compress a student into a budget.

    Parameters
    ----------
    config, tensors
        The student.
    data
        History with labels and splits; the validation windows choose bits and weights.
    budget_bytes
        Of the weights file, its header included.
    settings
        Sizes and fits.
    teacher
        Its knowledge enters both fits.
    reporter
        Shows progress.

    Raises
    ------
    CompressionError
        If a size is not within the student's own.
    BudgetError
        If no choice of bits fits; raised before anything is trained.
    TrainingError
        If a loss is not finite, or the teacher's scores do not vary.
    """
    c, reporter = settings or CompressConfig(), reporter or _Silent()
    small, pruned = pruned_within(config, tensors, budget_bytes, c)
    folded = canonical(small, pruned)
    school = School(data, c, teacher)
    reference = StudentRuntime(config, tensors, "parent")
    judge = Judge(data, reference)
    metrics: dict[str, Any] = {"parent": asdict(judge(reference))}
    if c.prunes:
        with reporter.fitting("fine-tuning") as progress:
            folded = canonical(small, school.tune(small, pruned, reference, progress))
        reference = StudentRuntime(small, folded, "tuned")
        metrics["tuned"] = asdict(judge(reference))
        judge = Judge(data, reference)
    with reporter.trying("sensitivity") as trying:
        rows = sweep(small, folded, judge, progress=trying)
    bits = choose_bits(rows, budget_bytes)
    model = school.calibrate(small, folded, bits)
    verdict = judge(_served(model))
    metrics |= {"rounded": asdict(verdict), "kept": "rounded"}
    if c.quantize is not None:
        with reporter.fitting("quantization") as progress:
            trained = school.train_rounded(small, folded, bits, c.quantize, reference, progress)
        better = judge(_served(trained))
        metrics["trained"] = asdict(better)
        if better.agreement > verdict.agreement:
            model = trained
            metrics["kept"] = "trained"
    quantization = Quantization(groups=bits, activations=model.grids(), sweep=rows)
    return Compressed(small, model.stored(), quantization, metrics)


def _served(model: QuantizedStudent) -> StudentRuntime:
    return stored_runtime(model.config, model.stored(), model.grids(), "rounded")


class _Silent:
    @contextmanager
    def fitting(self, title: str) -> Iterator[OnProgress]:
        def ignore(progress: Progress) -> None: ...

        yield ignore

    @contextmanager
    def trying(self, title: str) -> Iterator[OnTrial]:
        def ignore(done: int, total: int) -> None: ...

        yield ignore
