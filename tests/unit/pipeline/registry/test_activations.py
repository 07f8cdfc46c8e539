"""What a rollback restores, from the history alone."""

from __future__ import annotations

import pytest

from pipeline.registry.activations import before_the_last
from pipeline.registry.records import Activation


def history(*restores: int | None) -> list[Activation]:
    return [
        Activation(
            universe="u", role="student", seq=seq, model_id=f"m{seq}", sha256="0" * 64, restores_seq=restored
        )
        for seq, restored in enumerate(restores, 1)
    ]


@pytest.mark.parametrize(
    ("restores", "expected"),
    [
        ((), None),
        ((None,), None),
        ((None, None), 1),
        ((None, None, None, 2), 1),  # rolled back once: the next one goes further back
        ((None, None, None, 2, 1), None),
        ((None, None, None, 2, 1, None), 1),  # before a new one stood what was restored, not its number
    ],
)
def test_a_rollback_stands_where_what_it_restores_stood(
    restores: tuple[int | None, ...], expected: int | None
) -> None:
    found = before_the_last(history(*restores))
    assert (None if found is None else found.seq) == expected
