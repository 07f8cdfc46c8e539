"""Bits for a budget of bytes, the weights file's header included."""

from __future__ import annotations

from collections.abc import Sequence

from cs3g_model.artifacts import packed_file_bytes
from cs3g_model.compression.allocation import Choice, allocate
from cs3g_model.compression.layout import Arrays, groups_of
from cs3g_model.compression.packing import SweepRow
from cs3g_model.compression.quantized import choices_of, stored_bytes
from cs3g_model.errors import BudgetError

__all__ = ["check_budget", "choose_bits", "smallest_file_bytes"]


def smallest_file_bytes(tensors: Arrays) -> int:
    """Return the size of the smallest weights file of a student, whose input projection is folded."""
    groups = groups_of(tensors)
    least = (min(stored_bytes(tensors, group, n) for n in choices_of(group)) for group in groups)
    return packed_file_bytes(sum(least))


def check_budget(tensors: Arrays, budget_bytes: int) -> None:
    """Refuse a budget that no choice of bits meets, before anything is trained for it.

    Raises
    ------
    BudgetError
        With the smallest size in its message.
    """
    smallest = smallest_file_bytes(tensors)
    if smallest > budget_bytes:
        raise BudgetError(
            f"a budget of {budget_bytes:,} bytes is too small: the weights file takes {smallest:,} at the least; "
            "raise the budget or prune more",
            smallest_bytes=smallest,
        )


def choose_bits(rows: Sequence[SweepRow], budget_bytes: int) -> dict[str, int]:
    """Choose bits for each group so that the weights file fits a budget.

    Parameters
    ----------
    rows
        Of the sweep; a group's cost is its lost agreement, and the groups' costs are added.
    budget_bytes
        Of the file (see `check_budget`).

    Raises
    ------
    BudgetError
        If even the smallest choices do not fit.
    """
    choices: dict[str, list[Choice]] = {}
    for row in rows:
        choices.setdefault(row.group, []).append(Choice(row.bits, row.bytes, max(1.0 - row.agreement, 0.0)))
    room = budget_bytes
    while room > 0 and packed_file_bytes(room) > budget_bytes:
        room -= packed_file_bytes(room) - budget_bytes
    # The header's padding may leave a few more.
    while room >= 0 and packed_file_bytes(room + 1) <= budget_bytes:
        room += 1
    return allocate(choices, room)
