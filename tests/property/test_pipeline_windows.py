"""Windows against the slow reference, and what no cut and no order of arrival may change."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.columns import columns_of, keys_are_clean
from pipeline.refusals import last_valid_ns, refusal_causes
from pipeline.windows import WindowAggregator
from tests.unit.pipeline.reference import ReferenceWindows
from tests.unit.pipeline.ticks import SCHEMAS, SECOND, SIZE, START, cut, cut_at, mixed_runs, tick_runs
from topics.runs import WINDOW_ROW_DTYPE, TickRun
from topics.ticks import tick_schema
from topics.types import RecordArray

END = START + 10_000 * SECOND
INTEGERS = [name for name in WINDOW_ROW_DTYPE.names if WINDOW_ROW_DTYPE[name].kind == "i"]
FLOATS = [name for name in WINDOW_ROW_DTYPE.names if WINDOW_ROW_DTYPE[name].kind == "f"]
LATENESS = st.integers(0, 40).map(lambda s: s * SECOND)


def fold_all(
    runs: list[TickRun], lateness_ns: int, size_ns: int = SIZE
) -> tuple[RecordArray, list[bytes], list[bytes]]:
    windows = WindowAggregator("u", 0, size_ns, lateness_ns)
    rows, late, invalid = [np.empty(0, WINDOW_ROW_DTYPE)], [], []
    for run in runs:
        result = windows.fold(run)
        late += [record.tobytes() for record in result.late]
        invalid += [record.tobytes() for record in result.invalid]
        if result.closed is not None:
            rows.append(result.closed.rows)
    closed = windows.finish(END)
    assert closed is not None
    assert windows.open_ticks == 0
    return np.concatenate([*rows, closed.rows]), late, invalid


@settings(max_examples=80, deadline=None)
@given(mixed_runs(), LATENESS)
def test_windows_equal_the_reference_to_the_bit(runs: list[TickRun], lateness_ns: int) -> None:
    reference = ReferenceWindows(SIZE, lateness_ns)
    for run in runs:
        reference.fold(run)
    reference.finish(END)
    rows, late, invalid = fold_all(runs, lateness_ns)
    assert rows.tobytes() == reference.row_array().tobytes()
    assert late == reference.late
    assert invalid == reference.invalid


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(SCHEMAS))
def test_nothing_refused_passes_the_quick_look(data: st.DataObject, schema: str) -> None:
    run = data.draw(tick_runs(schema, max_ticks=2))
    columns = columns_of(tick_schema(schema), run.records)
    instrument_id = np.ascontiguousarray(run.records["instrument_id"])
    last_ns = last_valid_ns(SIZE)
    if columns.is_clean(instrument_id) and keys_are_clean(columns.ts_event, instrument_id, last_ns, 1, 2):
        assert not refusal_causes(run, size_ns=SIZE, partition=1, partitions=2).any()


@settings(max_examples=60, deadline=None)
@given(st.data(), LATENESS, st.sampled_from(["trades", "mbp-1", "tbbo", "ohlcv-1s"]))
def test_cutting_ticks_into_messages_changes_no_bit(
    data: st.DataObject, lateness_ns: int, schema: str
) -> None:
    run = data.draw(tick_runs(schema))
    whole = fold_all([run], lateness_ns)
    at_random = cut_at(run, data.draw(st.lists(st.integers(0, 30))))
    for runs in (list(cut(run, 1)), list(cut(run, 7)), at_random):
        rows, late, invalid = fold_all(runs, lateness_ns)
        assert rows.tobytes() == whole[0].tobytes()
        assert (late, invalid) == whole[1:]


@settings(max_examples=60, deadline=None)
@given(mixed_runs(), LATENESS, st.integers(1, 40).map(lambda s: s * SECOND))
def test_every_tick_is_in_one_window_or_late_or_invalid(
    runs: list[TickRun], lateness_ns: int, size_ns: int
) -> None:
    rows, late, invalid = fold_all(runs, lateness_ns, size_ns)
    beats = sum(
        int(((run.records["instrument_id"] == 0) & (run.records["ts_event"] < 2**63)).sum()) for run in runs
    )
    total = sum(len(run.records) for run in runs) - beats
    assert total == rows["n_ticks"].sum() + len(late) + len(invalid)


@settings(max_examples=60, deadline=None)
@given(tick_runs(odd=False), st.integers(1, 40 * SECOND))
def test_tumbling_windows_partition_time(run: TickRun, size_ns: int) -> None:
    rows, late, _ = fold_all([run], 10**6 * SECOND, size_ns)
    assert not late
    assert (rows["ts_close"] % size_ns == 0).all()
    for tick in run.records:
        holds = rows["instrument_id"] == tick["instrument_id"]
        holds &= (rows["ts_close"] - size_ns <= tick["ts_event"]) & (tick["ts_event"] < rows["ts_close"])
        assert holds.sum() == 1
    keys = list(zip(rows["ts_close"].tolist(), rows["instrument_id"].tolist(), strict=True))
    assert keys == sorted(set(keys))


@settings(max_examples=80, deadline=None)
@given(st.data(), tick_runs(odd=False), st.integers(0, 40).map(lambda s: s * SECOND))
def test_any_order_of_arrival_within_the_lateness_gives_equal_windows(
    data: st.DataObject, run: TickRun, lateness_ns: int
) -> None:
    records = run.records[np.argsort(run.records["ts_event"], kind="stable")]
    records["side"][records["side"] == b"N"] = b"B"  # the tick rule goes by arrival
    moments = np.unique(records["ts_event"])
    delay = data.draw(st.lists(st.integers(0, lateness_ns), min_size=len(moments), max_size=len(moments)))
    arrival = records["ts_event"] + np.array(delay, np.uint64)[np.searchsorted(moments, records["ts_event"])]
    shuffled = records[np.argsort(arrival, kind="stable")]
    in_order, _, _ = fold_all([TickRun("trades", records)], lateness_ns)
    disordered, late, _ = fold_all([TickRun("trades", shuffled)], lateness_ns)
    assert not late
    for name in INTEGERS:
        np.testing.assert_array_equal(in_order[name], disordered[name], err_msg=name)
    np.testing.assert_allclose(in_order["notional"], disordered["notional"], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data(), tick_runs(odd=False), LATENESS, st.integers(0, 80))
def test_later_ticks_never_change_a_closed_window(
    data: st.DataObject, run: TickRun, lateness_ns: int, second: int
) -> None:
    split = START + second * SECOND
    after = run.records["ts_event"] >= split
    other = run.records.copy()
    other["price"][after] = data.draw(st.integers(1, 10**12))
    other["size"][after] = data.draw(st.integers(0, 1000))
    rows, _, _ = fold_all([run], lateness_ns)
    changed, _, _ = fold_all([TickRun("trades", other)], lateness_ns)
    assert rows[rows["ts_close"] <= split].tobytes() == changed[changed["ts_close"] <= split].tobytes()
