"""What a strategy may see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.topics.factories import NANOS_PER_SECOND, SIZE_NS, T0, make_predictions
from topics.cuts import slice_predictions
from topics.envelope import ARROW, Envelope
from topics.reader_core import PredictionGap, PredictionSequence

RUN = make_predictions(10)


def read(sequence: PredictionSequence, start: int, stop: int, now_ns: int = 0) -> tuple[list[int], object]:
    reading = sequence.read(slice_predictions(RUN, start, stop), now_ns)
    windows = (
        [] if reading.run is None else [(ts - T0) // SIZE_NS - 1 for ts in reading.run.ts_close.tolist()]
    )
    return windows, reading.gap


def test_consecutive_runs_pass_whole() -> None:
    sequence = PredictionSequence(universe="test")
    assert read(sequence, 0, 3) == ([0, 1, 2], None)
    assert read(sequence, 3, 4) == ([3], None)


def test_a_repeated_run_is_dropped_and_an_overlapping_one_is_cut() -> None:
    sequence = PredictionSequence(universe="test")
    read(sequence, 0, 5)
    assert read(sequence, 0, 5) == ([], None)
    assert read(sequence, 3, 7) == ([5, 6], None)
    assert sequence.counts.duplicate == 7


def test_the_cut_of_an_overlapping_run_carries_its_own_numbering() -> None:
    sequence = PredictionSequence(universe="test")
    read(sequence, 0, 5)
    reading = sequence.read(slice_predictions(RUN, 3, 7), 0)
    assert reading.run is not None
    assert reading.run.seq == 5
    assert reading.run.scores.tolist() == RUN.scores[5:7].tolist()


def test_a_gap_is_reported_with_what_is_missing() -> None:
    sequence = PredictionSequence(universe="test")
    read(sequence, 0, 2)
    windows, gap = read(sequence, 5, 6)
    assert windows == [5]
    assert gap == PredictionGap(
        "test", "student", RUN.model_id, 2, 3, int(RUN.ts_close[1]), int(RUN.ts_close[5])
    )


def test_a_reader_that_joins_late_sees_no_gap_before_its_first_window() -> None:
    assert read(PredictionSequence(universe="test"), 5, 6) == ([5], None)


def test_a_gap_behind_an_overlap_is_seen() -> None:
    sequence = PredictionSequence(universe="test")
    read(sequence, 0, 3)
    torn = replace(slice_predictions(RUN, 2, 6), seq=4)
    reading = sequence.read(torn, 0)
    assert reading.gap is not None
    assert (reading.gap.first_seq, reading.gap.n_windows) == (3, 2)


def test_windows_older_than_max_age_are_dropped_counted_and_still_tell_of_gaps() -> None:
    sequence = PredictionSequence(universe="test", max_age_s=2)
    now = T0 + 6 * SIZE_NS
    # Window w ends at T0 + (w + 1) s: of age 2 s at `now` is window 3.
    assert read(sequence, 0, 5, now) == ([3, 4], None)
    assert sequence.counts.stale == 3
    windows, gap = read(sequence, 7, 8, now + 60 * NANOS_PER_SECOND)
    assert windows == []
    assert isinstance(gap, PredictionGap)
    assert gap.n_windows == 2
    assert sequence.counts.stale == 4


def test_without_max_age_nothing_is_too_old() -> None:
    assert read(PredictionSequence(universe="test"), 0, 1, 2**62) == ([0], None)


def test_roles_are_sequences_of_their_own() -> None:
    sequence = PredictionSequence(universe="test")
    read(sequence, 0, 3)
    reading = sequence.read(replace(RUN, role="teacher"), 0)
    assert reading.run is not None
    assert len(reading.run.ts_close) == 10
    assert reading.gap is None


def test_a_change_of_models_neither_repeats_a_window_nor_hides_a_gap() -> None:
    sequence = PredictionSequence(universe="test")
    other = replace(RUN, model_id="f" * 16)
    read(sequence, 0, 3)
    reading = sequence.read(other, 0)
    assert reading.run is not None
    assert reading.run.ts_close.tolist() == RUN.ts_close[3:].tolist()
    assert (reading.gap, sequence.counts.duplicate) == (None, 3)

    sequence = PredictionSequence(universe="test")
    read(sequence, 0, 3)
    gap = sequence.read(slice_predictions(other, 5, 10), 0).gap
    assert gap is not None
    assert (gap.first_seq, gap.n_windows, gap.model_id) == (RUN.seq + 3, 2, "f" * 16)


def test_other_universes_and_roles_are_not_delivered() -> None:
    sequence = PredictionSequence(universe="test", role="student")
    assert sequence.read(replace(RUN, universe="other"), 0).run is None
    assert sequence.read(replace(RUN, role="teacher"), 0).run is None
    assert sequence.read(RUN, 0).run is RUN
    assert sequence.counts.duplicate == 0


@pytest.mark.parametrize(("allow_replay", "refused"), [(False, 1), (True, 0)])
def test_replays_are_refused_unless_asked_for(allow_replay: bool, refused: int) -> None:
    sequence = PredictionSequence(universe="test", allow_replay=allow_replay)
    assert sequence.accepts(Envelope("predictions", 1, ARROW, mode="live"))
    assert sequence.accepts(Envelope("predictions", 1, ARROW, mode="replay")) is allow_replay
    assert sequence.counts.refused == refused
