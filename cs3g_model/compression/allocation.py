"""Choosing the bits of each group so that their bytes fit a budget at the least cost: an exact knapsack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cs3g_model.errors import BudgetError

__all__ = ["Choice", "allocate"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to store a group.

    Attributes
    ----------
    bits, bytes
        What it is and takes (bytes >= 0).
    cost
        What it loses; the costs of the groups are added.
    """

    bits: int
    bytes: int
    cost: float


def allocate(choices: Mapping[str, Sequence[Choice]], budget: int) -> dict[str, int]:
    """Choose one way for each group: the least total cost within the budget, of equals the fewest bytes.

    The multiple-choice knapsack by dynamic programming over the bytes, exact: small models make small
    tables.

    Parameters
    ----------
    choices
        Of each group, at least one.
    budget
        Bytes for all groups together.

    Returns
    -------
    dict[str, int]
        The bits of each group.

    Raises
    ------
    BudgetError
        If the smallest choices do not fit.
    """
    smallest = sum(min(c.bytes for c in options) for options in choices.values())
    if smallest > budget:
        raise BudgetError(
            f"the groups take {smallest} bytes at the least, {budget} are allowed", smallest_bytes=smallest
        )
    largest = sum(max(c.bytes for c in options) for options in choices.values())
    size = min(budget, largest) + 1
    # least[b]: the least cost of the groups so far in exactly b bytes.
    least = np.full(size, np.inf)
    least[0] = 0.0
    chosen = []
    for options in choices.values():
        after = np.full(size, np.inf)
        pick = np.zeros(size, np.int64)
        for i, option in enumerate(options):
            if option.bytes >= size:
                continue
            cost = np.full(size, np.inf)
            cost[option.bytes :] = least[: size - option.bytes] + option.cost
            pick = np.where(cost < after, i, pick)
            after = np.minimum(cost, after)
        chosen.append(pick)
        least = after
    bytes_left = int(np.argmin(least))  # the first, so the fewest bytes
    bits = {}
    for (group, options), pick in zip(reversed([*choices.items()]), reversed(chosen), strict=True):
        option = options[pick[bytes_left]]
        bits[group] = option.bits
        bytes_left -= option.bytes
    return {group: bits[group] for group in choices}
