"""When a model changes: at which boundary, with which state, and what earlier decisions become."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import NonFiniteScoreError, StateDecodeError
from pipeline.offline import join_graph_runs, snapshots_from_ticks
from pipeline.scoring import ScoringState, score_run
from pipeline.state_bytes import encode_state
from pipeline.swap import (
    is_decided,
    next_part,
    refuse,
    schedule,
    schedule_configured,
    take_over,
    warm,
    without_next_swap,
)
from pipeline.swaps import Swap
from tests.unit.pipeline.models import ExponentialMean
from tests.unit.pipeline.snapshots import CONFIG, DIRECTORY, random_trades
from tests.unit.pipeline.test_scoring import Broken
from topics.control import ModelAnnouncement
from topics.cuts import slice_graphs

A, B, C = (
    ExponentialMean(model_id=letter * 16, decay=decay)
    for letter, decay in zip("abc", (0.7, 0.8, 0.9), strict=True)
)
RUN = join_graph_runs(
    snapshots_from_ticks([(0, random_trades(300, seconds=600))], DIRECTORY, CONFIG, partitions=1)
)
ENDS = RUN.ts_close.tolist()
SHA = "0" * 64
assert len(ENDS) > 45


def announced(model: ExponentialMean, seq: int, since: int = 0) -> ModelAnnouncement:
    return ModelAnnouncement(
        universe="u", role="student", model_id=model.model_id, sha256=SHA, since_ts_close=since, seq=seq
    )


def at(place: int, **changes: Any) -> ScoringState:
    """The state after the first `place` windows."""
    _, state = score_run(A, slice_graphs(RUN, 0, place), ScoringState.initial(A))
    return replace(state, **changes)


def planned(state: ScoringState) -> list[tuple[int, str]]:
    return [(swap.boundary_ns, swap.model_id[0]) for swap in state.swaps]


@pytest.mark.parametrize(
    ("since", "published", "boundary"),
    [(0, 0, ENDS[9]), (ENDS[20], 0, ENDS[20]), (ENDS[20], ENDS[30], ENDS[30]), (ENDS[2], ENDS[4], ENDS[9])],
)
def test_the_boundary_is_neither_early_nor_among_what_was_published(
    since: int, published: int, boundary: int
) -> None:
    state = schedule(at(10, published=published), announced(B, 1, since), offset=7)
    assert state.swaps == (Swap(boundary, B.model_id, SHA, 1, 7),)
    assert state.decided == 1


def test_an_announcement_that_comes_again_changes_nothing() -> None:
    state = schedule(at(10), announced(B, 2, ENDS[20]))
    for seq in (1, 2):
        assert is_decided(state, announced(C, seq))
        assert schedule(state, announced(C, seq)) is state
    assert not is_decided(state, announced(C, 3))


def test_a_later_announcement_voids_what_would_come_after_its_boundary() -> None:
    state = schedule(at(10), announced(B, 1, ENDS[20]))
    later = schedule(state, announced(C, 2, ENDS[40]))
    assert planned(later) == [(ENDS[20], "b"), (ENDS[40], "c")]
    assert planned(schedule(later, announced(C, 3, ENDS[15]))) == [(ENDS[15], "c")]
    assert planned(schedule(later, announced(C, 3, ENDS[30]))) == [(ENDS[20], "b"), (ENDS[30], "c")]


def test_a_model_that_serves_anyway_is_not_changed_for_itself() -> None:
    state = schedule(at(10), announced(A, 1))
    assert (state.swaps, state.activation, state.decided) == ((), 1, 1)
    pending = schedule(at(10), announced(B, 1, ENDS[20]))
    assert planned(schedule(pending, announced(B, 2, ENDS[30]))) == [(ENDS[20], "b")]
    back = schedule(pending, announced(A, 2, ENDS[12]))  # before the other had begun
    assert (back.swaps, back.activation) == ((), 2)


def test_a_refused_announcement_is_not_tried_again() -> None:
    state = refuse(at(10), announced(B, 3))
    assert is_decided(state, announced(B, 3))
    assert state.swaps == ()


def test_a_setting_changes_the_model_only_where_none_was_announced() -> None:
    state = schedule_configured(at(10, published=ENDS[14]), B.model_id)
    assert state.swaps == (Swap(ENDS[14], B.model_id, "", None, 0),)
    for settled in (at(10, activation=1), schedule(at(10), announced(C, 1))):
        assert schedule_configured(settled, B.model_id) is settled
    same = at(10)
    assert schedule_configured(same, A.model_id) is same
    both = schedule_configured(schedule(at(10), announced(C, 1, ENDS[20])), B.model_id)
    assert planned(both) == [(ENDS[9], "b"), (ENDS[20], "c")]


def test_a_run_is_cut_at_the_boundary() -> None:
    state = schedule(at(10), announced(B, 1, ENDS[19]))
    part = next_part(RUN, state)
    assert part.windows is not None
    assert part.rest is not None
    assert part.windows.ts_close.tolist() == ENDS[10:20]
    assert part.rest.ts_close.tolist() == ENDS[20:]
    assert part.swap == state.swaps[0]
    before = next_part(slice_graphs(RUN, 5, 20), state)  # ends with the boundary: nothing to change yet
    assert (before.swap, before.rest) == (None, None)
    after = next_part(slice_graphs(RUN, 25, 30), state)
    assert (after.windows, after.swap) == (None, state.swaps[0])
    assert next_part(slice_graphs(RUN, 0, 10), state) == type(part)(None)


@pytest.mark.parametrize(("n_windows", "seen"), [(0, 0), (1, 1), (7, 7), (20, 20), (999, 20)])
def test_warming_folds_the_last_windows_before_the_boundary_once(n_windows: int, seen: int) -> None:
    boundary = ENDS[19]
    # As a topic holds them after its producer was restarted: cut otherwise, and some again.
    runs = [slice_graphs(RUN, *cut) for cut in ((0, 8), (8, 15), (4, 13), (13, 22), (15, 30))]
    state = warm(B, runs, boundary_ns=boundary, n_windows=n_windows)
    _, expected = score_run(B, slice_graphs(RUN, 20 - seen, 20), ScoringState.initial(B))
    assert state.seen == seen
    assert state.hidden.to_bytes() == expected.hidden.to_bytes()
    assert state.instrument_ids.tolist() == expected.instrument_ids.tolist()


def test_a_model_warmed_on_nothing_starts_anew() -> None:
    for runs in ([], [slice_graphs(RUN, 20, 30)]):
        state = warm(B, runs, boundary_ns=ENDS[19], n_windows=9)
        assert state.hidden.to_bytes() == ScoringState.initial(B).hidden.to_bytes()
        assert state.seen == 0


def test_numbers_go_on_and_warm_up_counts_what_the_new_model_has_seen() -> None:
    state = schedule(at(20), announced(B, 4))
    for n_windows, flags in ((0, [True] * 3), (2, [True, False, False]), (5, [False] * 3)):
        taken = take_over(state, warm(B, [RUN], boundary_ns=ENDS[19], n_windows=n_windows))
        assert (taken.seq, taken.ts_close, taken.activation, taken.decided) == (20, ENDS[19], 4, 4)
        assert taken.swaps == ()
        predictions, after = score_run(B, RUN, taken)
        assert predictions is not None
        assert (predictions.seq, predictions.model_id) == (20, B.model_id)
        assert predictions.warmup[:3].tolist() == flags
        assert (after.seq, after.seen) == (len(ENDS), len(ENDS) - 20 + n_windows)


def test_a_model_that_breaks_while_it_is_warmed_is_not_taken_over() -> None:
    broken = Broken(model_id="d" * 16)
    state = schedule(at(20), announced(broken, 1))
    with pytest.raises(NonFiniteScoreError):
        warm(broken, [RUN], boundary_ns=ENDS[19], n_windows=5)
    on = without_next_swap(state)
    assert (on.swaps, on.model_id, on.decided) == ((), A.model_id, 1)


def test_a_checkpoint_keeps_all_decisions() -> None:
    state = schedule(at(20, published=ENDS[25], since_offset=9), announced(B, 1, ENDS[30]), offset=3)
    state = schedule(state, announced(C, 5, ENDS[40]), offset=4)
    again = ScoringState.from_bytes(state.to_bytes())
    assert again.to_bytes() == state.to_bytes()
    for name in ("swaps", "decided", "activation", "seen", "published", "since_offset", "model_id"):
        assert getattr(again, name) == getattr(state, name), name
    settled = schedule(at(20), announced(A, 2))
    assert ScoringState.from_bytes(settled.to_bytes()).activation == 2
    assert ScoringState.from_bytes(at(20).to_bytes()).activation is None


def test_a_checkpoint_of_the_release_before_is_read() -> None:
    state = at(20)
    hidden = np.frombuffer(state.hidden.to_bytes(), np.uint8)
    fields: dict[str, int | str] = {"ts_close": state.ts_close, "seq": 20, "model_id": A.model_id}
    old = encode_state("scoring", 1, fields, {"instrument_ids": state.instrument_ids, "hidden": hidden})
    assert ScoringState.from_bytes(old, A).to_bytes() == state.to_bytes()
    fields["swaps"] = "[[1]]"
    torn = encode_state("scoring", 2, fields, {"instrument_ids": state.instrument_ids, "hidden": hidden})
    with pytest.raises(StateDecodeError):
        ScoringState.from_bytes(torn)
