"""What a teacher tells of the training windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cs3g_model.distillation.explanations import keyword_mask, sensitivities
from cs3g_model.distillation.lessons import attend, shuffled
from cs3g_model.distillation.rows import LowRankRows, SparseRows, rows_of_graph
from cs3g_model.errors import TrainingError
from cs3g_model.inputs import initial_tensors, snapshot_tensors
from tests.unit.cs3g_model.distillation.lessons import TEACHER
from tests.unit.cs3g_model.factories import make_snapshots, student_module, teacher_module

X = snapshot_tensors(make_snapshots(T=13, N=9))


def test_a_lesson_is_what_the_teacher_says_in_one_run() -> None:
    teacher = teacher_module(TEACHER)
    with torch.no_grad():
        output, _ = teacher(X, initial_tensors(teacher.state_shapes(), 9))
    lesson = attend(teacher, X, chunk=4, rows=True)
    torch.testing.assert_close(lesson.scores, output.scores, rtol=1e-4, atol=1e-5)
    # An absent instrument's state is nothing that anybody reads.
    for mine, other in ((lesson.hidden, output.hidden), (lesson.log_dispersion, output.log_dispersion)):
        torch.testing.assert_close(mine[X.mask], other[X.mask], rtol=1e-4, atol=1e-5)
    assert lesson.scale == pytest.approx(1 / output.scores[X.mask].std().item(), rel=1e-4)
    assert output.graph is not None
    whole = rows_of_graph(output.graph)
    assert isinstance(lesson.rows, SparseRows)
    torch.testing.assert_close(lesson.rows.weight, whole.weight, rtol=1e-3, atol=1e-4)
    assert lesson.keywords is None
    assert not lesson.scores.requires_grad


def test_a_window_of_a_lesson_cuts_all_of_it() -> None:
    lesson = attend(teacher_module(TEACHER), X, chunk=13, rows=True, keywords=0.5)
    part = lesson.window(3, 7, torch.device("cpu"))
    assert torch.equal(part.scores, lesson.scores[3:7])
    assert torch.equal(part.rows.index, lesson.rows.index[3:7])
    assert torch.equal(part.keywords.mask, lesson.keywords.mask[3:7])
    assert part.keywords.size == lesson.keywords.size
    assert part.scale == lesson.scale


def test_keywords_are_those_of_the_teachers_slopes() -> None:
    models = [teacher_module(TEACHER, seed) for seed in (0, 1)]
    lesson = attend(models[0], X, chunk=13, keywords=0.6, explainers=models[1:], agreeing=1)
    slopes = [sensitivities(m, X, initial_tensors(m.state_shapes(), 9)) for m in models]
    expected = keyword_mask(X.features, slopes, X.mask, share=0.6, agreeing=1)
    assert torch.equal(lesson.keywords.mask, expected)
    assert 0 < expected.sum() < X.mask.sum() * 12
    size = (X.features * slopes[0]).abs()[X.mask].mean()
    assert lesson.keywords.size == pytest.approx(size.item(), rel=1e-4)


def test_an_assistant_tells_its_low_rank_graph() -> None:
    lesson = attend(student_module(), X, chunk=5, rows=True)
    assert isinstance(lesson.rows, LowRankRows)
    assert lesson.rows.query.shape == (13, 9, 4)
    assert lesson.log_dispersion is None


def test_shuffling_permutes_the_present_of_each_window() -> None:
    lesson = attend(teacher_module(TEACHER), X, chunk=13, rows=True, keywords=0.5)
    mixed = shuffled(lesson, X.mask, seed=3)
    assert torch.equal(mixed.scores, shuffled(lesson, X.mask, seed=3).scores)
    assert not torch.equal(mixed.scores, shuffled(lesson, X.mask, seed=4).scores)
    for t, present in enumerate(X.mask):
        np.testing.assert_allclose(
            np.sort(mixed.scores[t, present].numpy()), np.sort(lesson.scores[t, present].numpy())
        )
        # Scores, states and dispersion of an instrument stay together.
        for i in np.flatnonzero(present.numpy()):
            source = int((lesson.scores[t] == mixed.scores[t, i]).nonzero()[0])
            assert torch.equal(mixed.hidden[t, i], lesson.hidden[t, source])
            assert mixed.log_dispersion[t, i] == lesson.log_dispersion[t, source]
    assert not mixed.scores[~X.mask].any()
    assert (mixed.scores != lesson.scores).any()
    assert mixed.rows is None
    assert mixed.keywords is None


def test_an_indifferent_teacher_is_refused() -> None:
    teacher = teacher_module(TEACHER)
    torch.nn.init.zeros_(teacher.score.weight)
    with pytest.raises(TrainingError, match="alike"):
        attend(teacher, X, chunk=5)
