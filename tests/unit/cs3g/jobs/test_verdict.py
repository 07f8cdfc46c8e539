"""Non-inferiority on paired windows."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g.jobs.verdict import MIN_WINDOWS, judge, judge_agreement


def scores(windows: int = 200, quality: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(seed)
    labels = g.standard_normal((windows, 30)).astype(np.float32)
    noise = g.standard_normal(labels.shape).astype(np.float32)
    return (quality * labels + noise).astype(np.float32), labels


def test_a_better_one_is_not_inferior_and_a_worse_one_is_not_let_through() -> None:
    good, labels = scores(quality=0.8)
    poor = (0.2 * labels + np.random.default_rng(1).standard_normal(labels.shape)).astype(np.float32)
    counts = np.ones(labels.shape, np.bool_)
    better = judge(good, poor, labels, counts, 0.005)
    assert better.non_inferior
    assert better.low > 0
    assert better.difference == pytest.approx(better.candidate - better.incumbent)
    worse = judge(poor, good, labels, counts, 0.005)
    assert not worse.non_inferior
    assert worse.p_value > 0.95
    # The margin decides, and both tests heed it.
    assert judge(poor, good, labels, counts, 1.0).non_inferior


def test_equal_models_are_not_inferior_on_windows_enough() -> None:
    own, labels = scores(windows=MIN_WINDOWS + 1)
    counts = np.ones(labels.shape, np.bool_)
    same = judge(own, own, labels, counts, 0.005)
    assert (same.difference, same.low, same.p_value, same.non_inferior) == (0.0, 0.0, 0.0, True)
    few = judge(own[:5], own[:5], labels[:5], counts[:5], 0.005)
    assert not few.non_inferior
    assert "5 windows to judge by" in few.sentence()


def test_windows_without_a_rank_correlation_do_not_count() -> None:
    own, labels = scores(windows=40)
    counts = np.ones(labels.shape, np.bool_)
    counts[::2] = False
    assert judge(own, own, labels, counts, 0.005).windows == 20
    assert judge(own, own, labels, np.zeros_like(counts), 0.005).windows == 0


def test_noise_around_nothing_does_not_pass_a_small_margin() -> None:
    g = np.random.default_rng(2)
    labels, a, b = (g.standard_normal((60, 10)).astype(np.float32) for _ in range(3))
    verdict = judge(a, b, labels, np.ones(labels.shape, np.bool_), 0.005)
    assert not verdict.non_inferior
    assert all(np.isfinite(value) for value in verdict.metrics().values())


def test_agreement_tells_apart_what_a_month_of_rank_ics_cannot() -> None:
    generator = np.random.default_rng(0)
    labels = generator.standard_normal((30, 200)).astype(np.float32) * 0.01
    counts = np.ones(labels.shape, np.bool_)
    teacher = generator.standard_normal(labels.shape).astype(np.float32)
    near = (teacher + 0.1 * generator.standard_normal(labels.shape)).astype(np.float32)
    far = generator.standard_normal(labels.shape).astype(np.float32)
    assert not judge(near, far, labels, counts, 0.005).non_inferior
    better = judge_agreement(near, far, teacher, counts, 0.005)
    assert better.non_inferior
    assert better.candidate > 0.9
    assert abs(better.incumbent) < 0.1
    assert "agreement with the teacher" in better.sentence()
    assert better.metrics()["agreement"] == better.candidate
    worse = judge_agreement(far, near, teacher, counts, 0.005)
    assert not worse.non_inferior
    assert worse.difference == pytest.approx(-better.difference)
