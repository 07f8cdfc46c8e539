"""Digests see content and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.topics.factories import make_predictions, make_trades
from topics.cuts import slice_predictions
from topics.digest import PredictionDigest, TickDigest, prediction_digest
from topics.runs import PredictionRun, TickRun
from topics.ticks import heartbeat


def test_the_tick_digest_is_the_hash_of_the_records() -> None:
    run = make_trades(10)
    digest = TickDigest()
    digest.update(run)
    assert digest.value() == "sha256:" + hashlib.sha256(run.records.tobytes()).hexdigest()
    assert digest.n_ticks == 10


def test_heartbeats_and_cuts_do_not_show_but_order_does() -> None:
    run = make_trades(10)
    whole, pieces, reversed_ = TickDigest(), TickDigest(), TickDigest()
    whole.update(run)
    for start in (0, 3, 7):
        stop = {0: 3, 3: 7, 7: 10}[start]
        pieces.update(heartbeat("trades", start))
        pieces.update(TickRun("trades", run.records[start:stop]))
    mixed = TickDigest()
    mixed.update(TickRun("trades", np.concatenate([run.records, heartbeat("trades", 1).records])))
    reversed_.update(TickRun("trades", run.records[::-1]))
    assert whole.value() == pieces.value() == mixed.value() != reversed_.value()
    assert pieces.n_ticks == mixed.n_ticks == 10


def change(run: PredictionRun, field: str) -> PredictionRun:
    """One bit of difference in a field."""
    if field == "scores":
        bits = run.scores.copy()
        bits.view(np.uint32)[1, np.flatnonzero(run.mask[1])[0]] ^= 1
        return replace(run, scores=bits)
    if field == "ranks":
        ranks = run.ranks.copy()
        ranks[1, np.flatnonzero(run.mask[1])[0]] += 1
        return replace(run, ranks=ranks)
    values = {
        "role": "teacher",
        "model_id": "f" * 16,
        "universe": "other",
        "ts_close": run.ts_close + run.size_ns,
        "instrument_ids": run.instrument_ids + np.uint32(1),
        "warmup": ~run.warmup,
    }
    return replace(run, **{field: values[field]})


@pytest.mark.parametrize(
    "field", ["scores", "ranks", "role", "model_id", "universe", "ts_close", "instrument_ids", "warmup"]
)
def test_every_part_of_a_prediction_shows(field: str) -> None:
    run = make_predictions(3, 6)
    assert prediction_digest([run]) != prediction_digest([change(run, field)])


def test_never_present_instruments_symbols_and_numbering_do_not_show() -> None:
    run = make_predictions(3, 4)
    wider = replace(
        run,
        seq=99,
        symbols=(*run.symbols, "NEW"),
        instrument_ids=np.append(run.instrument_ids, np.uint32(9)),
        scores=np.pad(run.scores, ((0, 0), (0, 1))),
        ranks=np.pad(run.ranks, ((0, 0), (0, 1))),
        mask=np.pad(run.mask, ((0, 0), (0, 1))),
    )
    assert prediction_digest([run]) == prediction_digest([wider])


def test_order_of_arrival_and_repetition_do_not_show_and_are_counted() -> None:
    run = make_predictions(4)
    digest = PredictionDigest()
    for start, stop in ((2, 4), (0, 2), (1, 3)):
        digest.update(slice_predictions(run, start, stop))
    assert digest.value() == prediction_digest([run])
    assert (digest.n_windows, digest.n_duplicates, digest.n_conflicts) == (4, 2, 0)


def test_the_first_of_two_different_windows_wins_and_the_conflict_is_counted() -> None:
    run = make_predictions(3, 6)
    digest = PredictionDigest()
    digest.update(run)
    digest.update(change(run, "scores"))
    assert digest.value() == prediction_digest([run])
    assert (digest.n_duplicates, digest.n_conflicts) == (2, 1)
