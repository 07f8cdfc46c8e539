"""Distillation end to end on a small planted market."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from cs3g_model.config import DistillConfig, TrainConfig
from cs3g_model.distillation.lessons import attend
from cs3g_model.distillation.recipe import Recipe, Stage, parse_recipe, plain_recipe
from cs3g_model.distillation.stages import distill, stage_ends
from cs3g_model.errors import ConfigError, TrainingError
from cs3g_model.inputs import snapshot_tensors
from cs3g_model.losses import hint_loss, listwise_loss
from cs3g_model.metrics import agreement
from cs3g_model.student import Student
from cs3g_model.student_runtime import StudentRuntime
from cs3g_model.teacher import Teacher
from cs3g_model.teacher_runtime import TeacherRuntime, load_tensors
from cs3g_model.training.batch import Objective
from cs3g_model.training.label_losses import LabelObjective
from cs3g_model.training.loop import fit, train
from cs3g_model.training.options import Progress, RunOptions
from tests.unit.cs3g_model.distillation.lessons import (
    FAST,
    STUDENT,
    TEACHER,
    market,
    one_stage,
    teacher_tensors,
)

PROGRESSIVE = """
[[stages]]
name = "mixing"
share = 0.25
learning_rate = 2e-2
losses = { mixing = 1 }
[[stages]]
name = "hidden"
share = 0.25
losses = { hint = 1 }
[[stages]]
name = "end"
share = 0.5
losses = { soft = 1, hint = 0.1 }
"""


@pytest.fixture(scope="module")
def data():
    return market()


@pytest.fixture(scope="module")
def tensors():
    return teacher_tensors()


def test_the_plain_recipe_minimizes_its_equation(data, tensors) -> None:
    settings = msgspec.structs.replace(FAST, epochs=2)
    found = distill(TEACHER, tensors, STUDENT, data, plain_recipe(DistillConfig()), settings)

    # The same loss written out, from the same random numbers.
    torch.manual_seed(0)
    teacher = Teacher(TEACHER)
    load_tensors(teacher, tensors)
    told = attend(teacher, snapshot_tensors(data.snapshots).window(0, data.train_stop), chunk=10)
    model = Student(STUDENT)
    labels = LabelObjective(data.labels[: data.train_stop], data.scored(0, data.train_stop), settings)

    class Written(Objective):
        regressor = torch.nn.Linear(STUDENT.width, TEACHER.width)

        def parameters(self):
            return list(self.regressor.parameters())

        def __call__(self, output, batch):
            part, c = slice(batch.start, batch.stop), told.scale
            soft = listwise_loss(c * output.scores, c * told.scores[part], batch.mask, 1.0)
            hint = hint_loss(self.regressor(output.hidden), told.hidden[part], batch.mask)
            return 0.3 * labels(output, batch) + 0.7 * soft + 0.1 * hint

    expected = fit(model, data, settings, Written())
    for name, tensor in expected.tensors.items():
        np.testing.assert_allclose(found.tensors[name], tensor, rtol=1e-4, atol=1e-5)
    assert found.fit.valid_rank_ics == pytest.approx(expected.valid_rank_ics, abs=1e-3)


def test_distillation_makes_the_student_agree_with_the_teacher() -> None:
    data = market(T=150, N=40)
    teacher = train(TEACHER, data, msgspec.structs.replace(FAST, epochs=12))
    settings = msgspec.structs.replace(FAST, epochs=12)
    result = distill(TEACHER, teacher.tensors, STUDENT, data, one_stage(soft=1.0, hint=0.1), settings)
    student = StudentRuntime(STUDENT, result.tensors, "id")
    master = TeacherRuntime(TEACHER, teacher.tensors, "id")
    scores, _ = student.step_many(data.snapshots, student.initial_state(40))
    told, _ = master.step_many(data.snapshots, master.initial_state(40))
    part = slice(data.train_stop, None)
    # The student never saw a label.
    assert np.mean(agreement(scores[part], told[part], data.snapshots.mask[part])) > 0.9


def test_stages_follow_each_other_and_tell_one_progress(data, tensors) -> None:
    seen: list[Progress] = []
    recipe = parse_recipe(PROGRESSIVE, "progressive")
    found = distill(TEACHER, tensors, STUDENT, data, recipe, FAST, seen.append)
    assert [(s.learner, s.name, s.updates) for s in found.stages] == [
        ("student", "mixing", 8),
        ("student", "hidden", 8),
        ("student", "end", 16),
    ]
    assert [(p.epoch, p.step) for p in seen] == [(e, s) for e in range(8) for s in (1, 2, 3, 4)]
    assert {(p.epochs, p.steps) for p in seen} == {(8, 4)}
    assert seen[-1].remaining_s == 0
    assert all(p.remaining_s > 0 for p in seen[:-1])
    for stage in found.stages:
        for name, (begin, end) in stage.losses.items():
            assert end < begin, (stage.name, name)


def test_an_early_stage_leaves_its_mark(data, tensors) -> None:
    recipe = parse_recipe(PROGRESSIVE, "progressive")
    end = recipe.stages[2]
    long = msgspec.structs.replace(FAST, epochs=24)
    both = distill(TEACHER, tensors, STUDENT, data, recipe, long)
    alone = distill(TEACHER, tensors, STUDENT, data, Recipe(stages=(end,)), long)
    # End to end begins with states closer to the teacher's where a stage has prepared them.
    assert both.stages[2].losses["hint"][0] < 0.8 * alone.stages[0].losses["hint"][0]


def test_an_assistant_stands_between(data, tensors) -> None:
    recipe = parse_recipe(
        "[[stages]]\nname='all'\nlosses={ soft=1, mixing=0.1, gaussian=0.1, aligning=0.1 }\n"
        "[assistant]\nmodel={ width=12, rank=6 }\n[[assistant.stages]]\nname='first'\nlosses={ soft=1 }",
        "assistant",
    )
    seen: list[Progress] = []
    settings = msgspec.structs.replace(FAST, epochs=6)
    found = distill(TEACHER, tensors, STUDENT, data, recipe, settings, seen.append)
    assert [(s.learner, s.name, list(s.losses)) for s in found.stages] == [
        ("assistant", "first", ["soft"]),
        ("student", "all", ["soft", "mixing", "gaussian", "aligning"]),
    ]
    assert len(seen) == 2 * 6 * 4
    assert {p.epochs for p in seen} == {12}
    assert found.tensors["ssm.A_log"].shape == (STUDENT.width, 1)
    first, second = found.stages
    assert first.losses["soft"][1] < 0.5 * first.losses["soft"][0]
    assert second.losses["soft"][1] < 0.5 * second.losses["soft"][0]


def test_a_shuffled_teacher_teaches_nothing(data, tensors) -> None:
    recipe = replace_shuffled(one_stage(soft=1.0))
    found = distill(TEACHER, tensors, STUDENT, data, recipe, FAST)
    true = distill(TEACHER, tensors, STUDENT, data, one_stage(soft=1.0), FAST)
    assert found.stages[0].losses["soft"][1] > 0.7 * found.stages[0].losses["soft"][0]
    assert true.stages[0].losses["soft"][1] < 0.5 * true.stages[0].losses["soft"][0]


def replace_shuffled(recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(recipe, shuffled_teacher=True)


def test_explainers_have_a_say_in_the_keywords(data, tensors) -> None:
    recipe = one_stage(soft=1.0, distinguishing=0.5)
    settings = msgspec.structs.replace(FAST, epochs=1)
    alone = distill(TEACHER, tensors, STUDENT, data, recipe, settings)
    asked = [(TEACHER, teacher_tensors(seed=s)) for s in (1, 2)]
    several = distill(TEACHER, tensors, STUDENT, data, recipe, settings, explainers=asked)
    assert alone.stages[0].losses["distinguishing"] != several.stages[0].losses["distinguishing"]


def test_a_seed_decides_every_bit_of_a_recipe_that_samples(data, tensors) -> None:
    recipe = one_stage(
        soft=1.0,
        contrastive={"max_nodes": 8},
        global_structure={"max_nodes": 8},
        gaussian={"distance": 1.0, "max_nodes": 8},
    )
    short = TrainConfig(epochs=1, chunk=10, seed=5)
    a, b = (distill(TEACHER, tensors, STUDENT, data, recipe, short) for _ in range(2))
    for name, tensor in a.tensors.items():
        np.testing.assert_array_equal(tensor, b.tensors[name])
    other = distill(TEACHER, tensors, STUDENT, data, recipe, msgspec.structs.replace(short, seed=6))
    assert a.fit.losses != other.fit.losses


def test_a_killed_distillation_goes_on_where_it_stood(data, tensors, tmp_path: Path) -> None:
    recipe = parse_recipe(PROGRESSIVE, "progressive")
    whole = distill(TEACHER, tensors, STUDENT, data, recipe, FAST)

    class Killed(Exception):
        pass

    def kill(p: Progress) -> None:
        if p.epoch == 5:  # in the third stage
            raise Killed

    options = RunOptions(checkpoint=tmp_path / "c", metrics=tmp_path / "m.jsonl", metrics_every=1)
    with pytest.raises(Killed):
        distill(TEACHER, tensors, STUDENT, data, recipe, FAST, kill, options)
    seen: list[Progress] = []
    again = distill(TEACHER, tensors, STUDENT, data, recipe, FAST, seen.append, replace(options, resume=True))
    assert seen[0].epoch >= 5
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(tensor, again.tensors[name])
    assert sorted(p.name for p in tmp_path.glob("*.jsonl")) == [
        "m.student-0-mixing.jsonl",
        "m.student-1-hidden.jsonl",
        "m.student-2-end.jsonl",
    ]
    with pytest.raises(Exception, match="another fit"):
        distill(
            TEACHER, tensors, STUDENT, data, one_named("mixing"), FAST, None, replace(options, resume=True)
        )


def one_named(name: str) -> Recipe:
    return Recipe(stages=(Stage(name=name, losses={"soft": 1}),))


def test_stages_share_the_updates() -> None:
    assert stage_ends([1, 1, 2], 100) == [25, 50, 100]
    assert stage_ends([0.1, 0.2, 0.7], 7) == [1, 2, 7]
    assert stage_ends([5], 3) == [3]
    with pytest.raises(TrainingError, match="raise `epochs`"):
        stage_ends([0.01, 1], 10)


def test_a_teacher_without_a_graph_is_refused_before_training(data) -> None:
    config = msgspec.structs.replace(TEACHER, graph=False)
    with pytest.raises(ConfigError, match="teacher with a graph"):
        distill(config, teacher_tensors(config), STUDENT, data, one_stage(mixing=1.0), FAST)
