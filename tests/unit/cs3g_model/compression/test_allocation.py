"""The allocator against trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cs3g_model.compression.allocation import Choice, allocate
from cs3g_model.errors import BudgetError


def total(choices: dict[str, list[Choice]], bits: dict[str, int]) -> tuple[float, int]:
    picked = [next(c for c in options if c.bits == bits[group]) for group, options in choices.items()]
    return sum(c.cost for c in picked), sum(c.bytes for c in picked)


def by_trying(choices: dict[str, list[Choice]], budget: int) -> tuple[float, int]:
    sums = (
        (sum(c.cost for c in picked), sum(c.bytes for c in picked))
        for picked in itertools.product(*choices.values())
    )
    return min((cost, size) for cost, size in sums if size <= budget)


@pytest.mark.parametrize("seed", range(30))
def test_nothing_better_fits(seed: int) -> None:
    g = np.random.default_rng(seed)
    choices = {
        # Costs are multiples of 1/64 so that sums are exact and ties happen.
        f"g{i}": [Choice(b, int(g.integers(0, 40)), int(g.integers(0, 20)) / 64) for b in range(2, 7)]
        for i in range(int(g.integers(1, 5)))
    }
    smallest = sum(min(c.bytes for c in options) for options in choices.values())
    for budget in (smallest, smallest + 7, smallest + 30, 10_000):
        assert total(choices, allocate(choices, budget)) == by_trying(choices, budget)
    with pytest.raises(BudgetError) as error:
        allocate(choices, smallest - 1)
    assert error.value.smallest_bytes == smallest


def test_a_greedy_choice_would_lose() -> None:
    # By cost saved per byte b's step to 6 bits comes first, and then a's no longer fits.
    choices = {
        "a": [Choice(2, 0, 1.0), Choice(8, 10, 0.0)],
        "b": [Choice(2, 0, 0.7), Choice(6, 5, 0.0)],
    }
    assert allocate(choices, 10) == {"a": 8, "b": 2}
    assert allocate(choices, 15) == {"a": 8, "b": 6}
    assert allocate(choices, 9) == {"a": 2, "b": 6}


def test_of_equal_costs_the_smaller_is_taken() -> None:
    choices = {"a": [Choice(8, 20, 0.5), Choice(4, 10, 0.5)], "b": [Choice(32, 4, 0.0), Choice(16, 2, 0.0)]}
    assert allocate(choices, 100) == {"a": 4, "b": 16}
