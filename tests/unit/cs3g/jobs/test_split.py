"""A job's history: three parts in time, none of which knows another's returns."""

from __future__ import annotations

import numpy as np
import pytest

from cs3g.jobs.errors import JobError
from cs3g.jobs.split import Shares, split_history
from cs3g_model.errors import ConfigError
from tests.small_jobs import WINDOWS, small_graphs
from topics.cuts import slice_graphs


def test_the_parts_are_in_time_and_share_no_label() -> None:
    history = split_history(small_graphs())
    fit, choose = history.data.train_stop, history.data.valid_stop
    assert (fit, choose) == (int(0.6 * WINDOWS), int(0.75 * WINDOWS))
    assert history.judged == slice(choose, WINDOWS - 1)
    # The label of a part's last window is realized in the next part: it counts in neither.
    assert not history.data.scored(0, fit)[-1].any()
    assert not history.data.scored(fit, choose)[-1].any()
    assert len(history.data.labels) == choose
    assert np.isnan(history.labels[-1]).all()
    assert not history.counts[:16].any()
    dates = history.dates()
    assert dates["train"][1] < dates["valid"][0] <= dates["valid"][1] < dates["judged"][0]


def test_what_comes_later_changes_nothing_of_what_is_learned() -> None:
    run, other = small_graphs(), small_graphs()
    stop = int(0.75 * WINDOWS)
    other.close[stop:] += 7
    first, second = split_history(run).data, split_history(other).data
    fit = first.train_stop
    np.testing.assert_array_equal(first.labels[: fit - 1], second.labels[: fit - 1])
    np.testing.assert_array_equal(first.labels[fit : stop - 1], second.labels[fit : stop - 1])


@pytest.mark.parametrize("windows", [1, 20, 29])
def test_too_short_a_range_is_refused(windows: int) -> None:
    with pytest.raises(JobError, match=f"holds {windows} windows.*widen the range"):
        split_history(slice_graphs(small_graphs(), 0, windows))


def test_prices_that_stand_still_teach_nothing() -> None:
    run = small_graphs()
    run.close[:] = 10**9
    with pytest.raises(JobError, match="nothing can be learned"):
        split_history(run)


@pytest.mark.parametrize("shares", [{"fit": 0.0}, {"fit": 0.9, "choose": 0.2}, {"choose": -0.1}])
def test_shares_must_leave_windows_to_judge_by(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="together below 1"):
        Shares(**shares)
