"""Terms: what they compare on one update, and what they ask of teacher and student."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cs3g_model import losses
from cs3g_model.config import StudentConfig, TrainConfig
from cs3g_model.distillation.decoupling import uninformative_loss
from cs3g_model.distillation.gaussian import gaussian_kl, pair_cosine_loss, pair_distance_loss
from cs3g_model.distillation.lessons import Lesson, attend
from cs3g_model.distillation.nodes import standardize_states
from cs3g_model.distillation.objective import StagedObjective
from cs3g_model.distillation.recipe import Stage
from cs3g_model.distillation.registry import TERMS
from cs3g_model.distillation.structure import local_structure_loss
from cs3g_model.distillation.term import Classroom
from cs3g_model.errors import ConfigError
from cs3g_model.inputs import ModelOutput, initial_tensors, snapshot_tensors
from cs3g_model.training.batch import Batch
from cs3g_model.training.label_losses import LabelObjective
from tests.unit.cs3g_model.distillation.lessons import STUDENT, TEACHER, market
from tests.unit.cs3g_model.factories import student_module, teacher_module

MARKET = market(T=30)
X = snapshot_tensors(MARKET.snapshots).window(0, MARKET.train_stop)
LABELS = LabelObjective(MARKET.labels[:20], MARKET.scored(0, 20), TrainConfig())


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return attend(teacher_module(TEACHER), X, chunk=10, rows=True, keywords=0.5)


@pytest.fixture
def update() -> tuple[ModelOutput, Batch]:
    model = student_module(STUDENT)
    state = initial_tensors(model.state_shapes(), X.mask.shape[1])
    x = X.window(5, 13)
    mask = x.mask.clone()
    mask[:, -3:] = False  # present without a label
    output, _ = model(x, state)
    return output, Batch(5, 13, mask, x, state, model)


def room(lesson: Lesson, student: StudentConfig = STUDENT, n_known_edges: int = 4) -> Classroom:
    return Classroom(student, lesson, LABELS, n_known_edges)


def value(losses_: dict, lesson: Lesson, update: tuple[ModelOutput, Batch]) -> float:
    torch.manual_seed(0)
    objective = StagedObjective([Stage(name="a", losses=losses_)], room(lesson))
    return objective(*update).item()


@pytest.mark.parametrize("name", TERMS)
def test_every_loss_has_a_gradient_in_all_that_it_trains(name: str, lesson: Lesson, update) -> None:
    settings = {"distance": 1.0, "cosine": 1.0} if name == "gaussian" else {}
    objective = StagedObjective([Stage(name="a", losses={name: {"weight": 2.0, **settings}})], room(lesson))
    output, batch = update
    loss = objective(output, batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.any() for p in objective.parameters())
    gradients = [p.grad for p in batch.model.parameters() if p.grad is not None]
    assert any(g.any() for g in gradients)
    assert all(g.isfinite().all() for g in gradients)


def test_scores_are_compared_in_units_of_the_teachers_deviation(lesson: Lesson, update) -> None:
    (output, batch), told, c = update, lesson.scores[5:13], lesson.scale
    expected = losses.listwise_loss(c * output.scores, c * told, batch.mask, 2.0)
    assert value({"soft": {"weight": 3.0, "temperature": 2.0}}, lesson, update) == pytest.approx(
        3 * expected.item()
    )
    louder = replace(lesson, scores=10 * lesson.scores, scale=lesson.scale / 10)
    shouted = (replace(output, scores=10 * output.scores), batch)
    assert value({"soft": 1}, louder, shouted) == pytest.approx(value({"soft": 1}, lesson, update), rel=1e-4)


def test_labels_and_ic_see_the_batchs_own_windows(lesson: Lesson, update) -> None:
    output, batch = update
    assert value({"labels": 1}, lesson, update) == pytest.approx(LABELS(output, batch).item())
    targets = LABELS.targets[5:13]
    expected = losses.ic_loss(output.scores, targets, batch.mask).item()
    assert value({"ic": {"target": "labels"}}, lesson, update) == pytest.approx(expected)
    expected = losses.ic_loss(output.scores, lesson.scores[5:13], batch.mask).item()
    assert value({"ic": 1}, lesson, update) == pytest.approx(expected)


def test_gaussian_gives_both_models_the_scale_of_the_deviations(lesson: Lesson, update) -> None:
    output, batch = update
    sharpness = lesson.scale * torch.exp(lesson.log_dispersion[lesson.scores != 0]).mean()
    teacher = (sharpness * lesson.scores[5:13], lesson.log_dispersion[5:13])
    # The student's dispersion head starts as the teacher's mean.
    student = (sharpness * output.scores, torch.full_like(output.scores, lesson.log_dispersion.mean().item()))
    parts = (
        gaussian_kl(teacher, student, batch.mask),
        pair_distance_loss(teacher, student, batch.mask),
        pair_cosine_loss(teacher, student, batch.mask),
    )
    expected = 1 * parts[0] + 2 * parts[1] + 3 * parts[2]
    found = value({"gaussian": {"kl": 1, "distance": 2, "cosine": 3}}, lesson, update)
    assert found == pytest.approx(expected.item(), rel=1e-4)


def test_a_relative_hint_has_no_unit(lesson: Lesson, update) -> None:
    plain = value({"hint": 1}, lesson, update)
    relative = value({"hint": {"relative": True}}, lesson, update)
    assert relative == pytest.approx(plain / lesson.hidden[X.mask].square().mean().item(), rel=1e-4)


def test_known_edges_leave_out_the_absent(lesson: Lesson, update) -> None:
    output, batch = update
    x = replace(batch.x, mask=batch.x.mask.clone())
    x.mask[:, :6] = False
    batch = replace(batch, x=x, mask=batch.mask & x.mask)
    found = value({"local_structure": {"edges": "known", "temperature": 0.5}}, lesson, (output, batch))
    index = x.neighbors.numpy().copy()
    index[index < 6] = -1
    expected = local_structure_loss(
        standardize_states(output.hidden, x.mask),
        standardize_states(lesson.hidden[5:13], x.mask),
        torch.tensor(index),
        batch.mask,
        temperature=0.5,
    )
    assert found == pytest.approx(expected.item(), rel=1e-4)


def test_aligning_runs_the_student_on_keywords_and_on_the_rest(lesson: Lesson, update) -> None:
    _, batch = update
    keywords, c = lesson.keywords.mask[5:13], lesson.scale
    scores = []
    for kept in (keywords, ~keywords):
        x = replace(batch.x, features=batch.x.features * kept)
        scores.append(c * batch.model(x, batch.state)[0].scores)
    divergence = losses.listwise_loss(scores[0], c * lesson.scores[5:13], batch.mask, 1.0)
    variance = uninformative_loss(scores[1], batch.mask)
    found = value({"aligning": {"keywords": 2, "bias": 3}}, lesson, update)
    assert found == pytest.approx((2 * divergence + 3 * variance).item(), rel=1e-4)
    assert divergence > 0
    assert variance > 0


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("gaussian", {"log_dispersion": None}, "dispersion"),
        ("mixing", {"rows": None}, "teacher with a graph"),
        ("attention", {"rows": None}, "teacher with a graph"),
    ],
)
def test_a_teacher_that_lacks_what_is_compared_is_refused(
    name: str, change: dict, match: str, lesson: Lesson
) -> None:
    with pytest.raises(ConfigError, match=match):
        StagedObjective([Stage(name="a", losses={name: 1})], room(replace(lesson, **change)))


def test_a_student_or_market_that_lacks_what_is_compared_is_refused(lesson: Lesson) -> None:
    mute = StudentConfig(width=6, state_size=2, graph=False)
    with pytest.raises(ConfigError, match="student with"):
        StagedObjective([Stage(name="a", losses={"mixing": 1})], room(lesson, mute))
    lonely = room(replace(lesson, rows=None), n_known_edges=0)
    with pytest.raises(ConfigError, match="edges"):
        StagedObjective([Stage(name="a", losses={"local_structure": 1})], lonely)
    learned = Stage(name="a", losses={"local_structure": {"edges": "learned"}})
    with pytest.raises(ConfigError, match="learned"):
        StagedObjective([learned], room(replace(lesson, rows=None)))


def test_a_stage_weighs_its_losses_and_keeps_their_course(lesson: Lesson, update) -> None:
    objective = StagedObjective([Stage(name="a", losses={"soft": 2, "ic": 0.5})], room(lesson))
    soft, ic = (value({name: 1}, lesson, update) for name in ("soft", "ic"))
    assert objective(*update).item() == pytest.approx(2 * soft + 0.5 * ic, rel=1e-5)
    objective(*update)
    assert objective.course() == {"soft": pytest.approx((soft, soft)), "ic": pytest.approx((ic, ic))}


def test_a_regressor_is_handed_on_to_the_next_stage(lesson: Lesson) -> None:
    first = Stage(name="a", losses={"hint": 1})
    second = Stage(name="b", losses={"soft": 1, "hint": 0.1})
    third = Stage(name="c", losses={"hint": {"relative": True}})
    objective = StagedObjective([first, second, third], room(lesson))
    found = []
    for stage in (first, second, third):
        objective.enter(stage)
        found.append([p.data_ptr() for p in objective.parameters()])
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert np.ravel(found).size == 6
