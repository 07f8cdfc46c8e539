"""What a study fits, and in which order."""

from __future__ import annotations

from pathlib import Path

from cs3g.study.fits import slug
from cs3g.study.plan import Study


def plan(**changes: object) -> Study:
    return Study("panel", "2020-01-01", "2020-02-01", "2020-03-01", Path("out"), **changes)  # type: ignore[arg-type]


def test_a_model_comes_after_those_that_it_needs() -> None:
    names = [variant.name for variant, _ in plan(seeds=(0, 1)).variants()]
    assert names.index("teacher") < names.index("student") < names.index("student, compressed")
    assert names.count("student") == 2
    assert names.count("student, no distillation") == 1


def test_without_a_budget_nothing_is_compressed() -> None:
    roles = {variant.role for variant, _ in plan(budget_bytes=0).variants()}
    assert roles == {"teacher", "student", "distilled"}


def test_ablations_are_fits_of_the_teacher_with_parts_switched_off() -> None:
    more = [v for v, _ in plan(ablations=True).variants() if v not in [w for w, _ in plan().variants()]]
    assert len(more) >= 4
    assert all(variant.role == "teacher" and variant.model for variant in more)


def test_every_fit_has_a_file_name_of_its_own() -> None:
    fits = plan(seeds=(0, 1), control_seeds=(0, 1), ablations=True).variants()
    names = {slug(variant.name, seed) for variant, seed in fits}
    assert len(names) == len(fits)
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in names)
