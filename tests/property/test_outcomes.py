"""Outcomes whatever way the two topics interleave, runs are cut, messages repeat, or the stage restarts."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline.outcome_streams import CONFIG, Stage, cut, prices, scores, with_models
from topics.control import Outcome
from topics.runs import GraphRun, PredictionRun

WINDOWS = 26
GRAPHS = prices(WINDOWS, 7, seed=3, presence=0.6)
STUDENT = with_models(scores(GRAPHS, "student"), [(0, "m1"), (14, "m2")])
TEACHER = scores(GRAPHS, "teacher", seed=9)
Run = GraphRun | PredictionRun
UNDISTURBED = Stage(CONFIG)
UNDISTURBED.take(GRAPHS, *STUDENT, TEACHER)
places = st.lists(st.integers(1, WINDOWS - 1), max_size=8)


def encoded(outcomes: list[Outcome]) -> bytes:
    return msgspec.json.encode(outcomes)


def narrowed(run: Run) -> Run:
    """Leave out the instruments after the last that is present: an earlier run may not know them yet."""
    if isinstance(run, PredictionRun):
        return run
    seen = run.mask.any(axis=0).nonzero()[0]
    n = int(seen[-1]) + 1 if len(seen) else 0
    return replace(
        run,
        instrument_ids=run.instrument_ids[:n],
        symbols=run.symbols[:n],
        sector=run.sector[:n],
        mask=run.mask[:, :n],
        features=run.features[:, :n],
        close=run.close[:, :n],
        neighbors=run.neighbors[:, :n],
        neighbor_weights=run.neighbor_weights[:, :n],
    )


@st.composite
def topics(draw: st.DrawFn) -> tuple[list[Run], list[Run]]:
    """Both topics, cut anywhere, with messages that come again a while later, roles interleaved in any way."""
    graphs = [narrowed(run) for run in cut(GRAPHS, draw(places))]
    student = [piece for run in STUDENT for piece in cut(run, draw(places))]
    teacher = cut(TEACHER, draw(places))
    keyed = [
        *zip(draw(_keys(student)), student, strict=True),
        *zip(draw(_keys(teacher)), teacher, strict=True),
    ]
    predictions = [run for _, run in sorted(keyed, key=lambda pair: pair[0])]
    return _repeated(draw, graphs), _repeated(draw, predictions)


def _keys(runs: list[Run]) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 1000), min_size=len(runs), max_size=len(runs)).map(sorted)


def _repeated(draw: st.DrawFn, runs: list[Run]) -> list[Run]:
    """A worker restarts and publishes the last few messages once more."""
    at, back = draw(st.integers(0, len(runs))), draw(st.integers(0, 4))
    return [*runs[:at], *runs[max(0, at - back) : at], *runs[at:]]


@settings(max_examples=40, deadline=None)
@given(st.data(), topics())
def test_interleaving_cuts_repeats_and_restarts_change_no_byte(
    data: st.DataObject, found: tuple[list[Run], list[Run]]
) -> None:
    stage, positions, acknowledged = Stage(CONFIG), [0, 0], [0, 0]
    published: list[Outcome] = []
    checkpoint = stage.state.to_bytes()
    steps = iter(
        data.draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4), st.booleans()), max_size=30))
    )
    while positions != [len(topic) for topic in found]:
        which, count, kill = next(steps, (0 if positions[0] < len(found[0]) else 1, 100, False))
        for run in found[which][positions[which] : positions[which] + count]:
            published += stage.take(run)
            checkpoint = stage.state.to_bytes()
            positions[which] += 1
            # Only what is settled is acknowledged, in order.
            for topic in (0, 1):
                while acknowledged[topic] < positions[topic] and (
                    found[topic][acknowledged[topic]].ts_close[-1] <= stage.state.ts_close
                ):
                    acknowledged[topic] += 1
        if kill:
            stage.restart(checkpoint)
            positions = list(acknowledged)
    assert len(published) == 2 * (WINDOWS - 1)
    assert encoded(published) == encoded(UNDISTURBED.outcomes)
    assert checkpoint == UNDISTURBED.state.to_bytes()
