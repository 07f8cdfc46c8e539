"""Every trigger, what forbids a job, what is recorded, and that no cut of the windows changes a decision."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from pipeline.errors import ConfigError, StateDecodeError
from pipeline.outcomes import SettledWindow
from pipeline.trigger import Decided, decide, manual_decision
from pipeline.trigger_checks import mean_difference_z
from pipeline.trigger_config import TriggerPolicy, load_trigger_policy
from pipeline.trigger_state import TriggerState
from topics.control import JobRequest, Outcome, control_envelope, decode_control, encode_control

SIZE = 10
QUIET: dict[str, Any] = {
    "decay_z": 0, "min_agreement": 0, "max_psi_features": 0, "cooldown": 0, "max_jobs": 1000,
    "activation_lag_windows": 0, "record_every_windows": 10**6,
}  # fmt: skip


def policy(**settings: Any) -> TriggerPolicy:
    return load_trigger_policy(**{**QUIET, **settings})


def window(number: int, *, model_id: str = "m1", teacher: str | None = "t1", **values: Any) -> SettledWindow:
    """A settled window; its label came two windows later, as after a weekend."""
    ts_close = (number + 1) * SIZE
    outcome = Outcome(
        universe="u", role="student", model_id=model_id, ts_close=ts_close, horizon_ns=SIZE, n_instruments=9,
        **values,
    )  # fmt: skip
    outcomes = [outcome]
    if teacher is not None:
        outcomes.append(msgspec.structs.replace(outcome, role="teacher", model_id=teacher))
    return SettledWindow(ts_close, ts_close + 2 * SIZE, tuple(outcomes))


def run(policy: TriggerPolicy, windows: list[SettledWindow]) -> list[Decided]:
    return decide(policy, TriggerState(), windows, size_ns=SIZE)[0]


def actions(decided: list[Decided]) -> list[tuple[int, str, str]]:
    """(window, action, trigger) of what was recorded."""
    return [(one.decision.ts_close // SIZE - 1, one.decision.action, one.decision.trigger) for one in decided]


def test_the_statistic_is_welchs_where_nothing_is_correlated() -> None:
    rng = np.random.default_rng(0)
    reference, recent = np.tile([0.3, -0.1], 40) + 0.05, rng.normal(0.0, 0.2, 30)
    # The reference alternates: a negative autocorrelation narrows nothing.
    welch = ttest_ind(reference, recent, equal_var=False).statistic
    assert mean_difference_z(reference, recent) == pytest.approx(welch, rel=1e-12)
    slow = np.repeat([0.3, -0.1], 40)
    centered = slow - slow.mean()
    r = (centered[1:] * centered[:-1]).sum() / (centered**2).sum()
    assert r > 0.9
    wider = ttest_ind(slow, recent, equal_var=False).statistic * np.sqrt(0.1 / 1.9)
    assert mean_difference_z(slow, recent) == pytest.approx(wider, rel=1e-12)
    assert mean_difference_z(np.ones(5), np.zeros(4)) == 0.0


def test_decay_is_noticed_against_the_models_own_history() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.1, 0.1, 160)
    values[100:] -= 0.15
    windows = [window(t, rank_ic=float(value)) for t, value in enumerate(values)]
    found = run(policy(decay_z=4, decay_reference_windows=50, decay_recent_windows=20), windows)
    assert actions(found)[0] == (0, "none", "")
    place, action, trigger = actions(found)[1]
    assert (action, trigger) == ("job", "decay")
    assert 103 < place < 120
    measures = found[1].decision.measures
    recent, reference = values[place - 19 : place + 1], values[:50]
    assert measures["rank_ic_recent"] == pytest.approx(recent.mean())
    assert measures["rank_ic_reference"] == pytest.approx(reference.mean())
    assert measures["rank_ic_z"] >= 4
    assert found[1].job is not None
    assert "decay: mean rank IC" in found[1].job.reason


def test_a_steady_model_asks_for_nothing_and_a_trifle_does_not_count() -> None:
    for seed in range(20):
        values = np.random.default_rng(seed).normal(0.03, 0.1, 400)
        windows = [window(t, rank_ic=float(value)) for t, value in enumerate(values)]
        found = run(policy(decay_z=4, decay_reference_windows=128, decay_recent_windows=64), windows)
        assert [one.decision.action for one in found] == ["none"]
    small = [window(t, rank_ic=0.1 + 1e-4 * (t % 3) - 0.005 * (t >= 30)) for t in range(60)]
    limits = {"decay_z": 4, "decay_reference_windows": 20, "decay_recent_windows": 10}
    assert "job" not in {one.decision.action for one in run(policy(**limits), small)}
    assert "job" in {one.decision.action for one in run(policy(**limits, decay_min_drop=0.001), small)}


def test_another_model_starts_its_own_history() -> None:
    values = [0.5] * 30 + [0.0] * 60
    limits = policy(decay_z=2, decay_reference_windows=20, decay_recent_windows=10)
    noise = [0.01 * (t % 2) for t in range(90)]
    windows = [
        window(t, rank_ic=value + noise[t], model_id="m1" if t < 30 else "m2")
        for t, value in enumerate(values)
    ]
    assert {one.decision.action for one in run(limits, windows)} == {"none"}
    same = [window(t, rank_ic=value + noise[t]) for t, value in enumerate(values)]
    assert "job" in {one.decision.action for one in run(limits, same)}


def test_windows_of_the_warm_up_enter_no_statistic() -> None:
    windows = [window(t, rank_ic=None if t < 50 else 0.1, agreement=None) for t in range(55)]
    state = decide(policy(), TriggerState(), windows, size_ns=SIZE)[1]
    assert state.reference.tolist() == [0.1] * 5
    assert len(state.agreements) == 0


def test_disagreement_drift_staleness_and_schedule() -> None:
    agreeing = [window(t, agreement=0.95 if t < 10 else 0.5) for t in range(20)]
    found = run(policy(min_agreement=0.8, agreement_windows=5), agreeing)
    # Means over five windows: .95, then .86, then .77.
    assert actions(found)[:2] == [(0, "none", ""), (11, "job", "disagreement")]
    assert found[1].decision.measures["agreement"] == pytest.approx((3 * 0.95 + 2 * 0.5) / 5)

    drifting = [window(t, psi_features=0.02 * t, psi_scores=0.01 * t) for t in range(20)]
    assert actions(run(policy(max_psi_features=0.25), drifting))[1] == (13, "job", "feature-drift")
    assert actions(run(policy(max_psi_scores=0.1), drifting))[1] == (10, "job", "score-drift")

    old = [window(t, model_id="m1" if t < 4 else "m2") for t in range(15)]
    assert actions(run(policy(staleness=8 * SIZE), old))[1] == (12, "job", "staleness")
    assert run(policy(staleness=8 * SIZE), old)[1].decision.measures["model_age_s"] == 8 * SIZE / 1e9

    # Windows end at 10, 20, ...: a multiple of 50 is passed at 50, 100 and 150.
    scheduled = run(policy(schedule=50), [window(t) for t in range(16)])
    assert [place for place, action, _ in actions(scheduled) if action == "job"] == [4, 9, 14]


def test_a_job_names_what_is_served_and_what_is_known() -> None:
    wanted = policy(
        staleness=3 * SIZE, activation_lag_windows=4, train_span=5 * SIZE, recipe_id="quick", seed=7
    )
    (decided,) = [one for one in run(wanted, [window(t) for t in range(6)]) if one.job is not None]
    job = decided.job
    assert job is not None
    assert decided.decision.ts_close == 4 * SIZE  # the window; its label was known two windows later
    assert (job.from_ts_close, job.to_ts_close, job.since_ts_close) == (SIZE, 6 * SIZE, 10 * SIZE)
    assert (job.student_id, job.teacher_id, job.recipe_id, job.seed) == (None, "t1", "quick", 7)
    assert (job.dataset_id, job.kind, job.promotion) == ("live-graphs", "distill", "auto")
    assert job.job_id == decided.decision.job_id
    assert job.requested_ns == 6 * SIZE
    for record in (job, decided.decision):
        envelope = control_envelope(record, run_id="r", mode="live")
        assert decode_control(encode_control(record), envelope) == record
    other = policy(
        staleness=3 * SIZE, activation_lag_windows=4, train_span=5 * SIZE, recipe_id="quick", seed=8
    )
    ids = {one.job.job_id for one in run(other, [window(t) for t in range(6)]) if one.job is not None}
    assert job.job_id not in ids
    named = policy(staleness=3 * SIZE, teacher_id="big", student_id="m1")
    named_jobs = [one.job for one in run(named, [window(t) for t in range(6)]) if one.job is not None]
    assert {(job.teacher_id, job.student_id) for job in named_jobs} == {("big", "m1")}
    alone = [window(t, teacher=None) for t in range(6)]
    assert {one.job.teacher_id for one in run(policy(staleness=3 * SIZE), alone) if one.job} == {None}


def test_cool_down_budget_and_a_pending_job_suppress() -> None:
    windows = [window(t) for t in range(40)]
    cooling = run(policy(staleness=SIZE, cooldown=10 * SIZE), windows)
    assert actions(cooling) == [
        (0, "none", ""),
        (1, "job", "staleness"),
        (2, "suppressed", "staleness"),
        (11, "job", "staleness"),
        (12, "suppressed", "staleness"),
        (21, "job", "staleness"),
        (22, "suppressed", "staleness"),
        (31, "job", "staleness"),
        (32, "suppressed", "staleness"),
    ]
    assert "cool-down of 100ns since 20; staleness:" in cooling[2].decision.reason
    assert cooling[2].decision.job_id is None

    budget = run(policy(staleness=SIZE, max_jobs=2, budget_period=20 * SIZE), windows)
    assert [place for place, action, _ in actions(budget) if action == "job"] == [1, 4, 21, 24]
    assert "budget of 2 jobs in 200ns is spent" in budget[4].decision.reason
    assert "job" not in {one.decision.action for one in run(policy(staleness=SIZE, max_jobs=0), windows)}

    # The job of window 1 is made known at window 3 and takes effect after window 8.
    pending = run(policy(staleness=SIZE, activation_lag_windows=5), windows[:12])
    assert [place for place, action, _ in actions(pending) if action == "job"] == [1, 9]
    assert "takes effect after 90" in pending[2].decision.reason


def test_a_cool_down_longer_than_the_budgets_period_holds() -> None:
    found = run(
        policy(staleness=SIZE, cooldown=30 * SIZE, budget_period=SIZE), [window(t) for t in range(40)]
    )
    assert [place for place, action, _ in actions(found) if action == "job"] == [1, 31]


def test_what_changes_nothing_is_recorded_once_in_a_while() -> None:
    found = run(policy(record_every_windows=10), [window(t) for t in range(35)])
    assert actions(found) == [(0, "none", ""), (10, "none", ""), (20, "none", ""), (30, "none", "")]


def test_a_manual_job_has_its_record() -> None:
    job = JobRequest(job_id="mine", kind="distill", universe="u", to_ts_close=70, reason="new recipe")
    decision = manual_decision(job)
    assert (decision.action, decision.trigger, decision.job_id) == ("job", "manual", "mine")
    assert (decision.ts_close, decision.reason) == (70, "new recipe")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, -0.2, 0.0, 0.1, 0.3]),
            st.sampled_from([None, 0.5, 0.9]),
            st.sampled_from([None, 0.1, 0.4]),
            st.booleans(),
        ),
        max_size=40,
    ),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_cuts_repeats_and_restarts_change_no_decision(rows: list[Any], cuts: list[int]) -> None:
    limits = policy(
        decay_z=1, decay_reference_windows=4, decay_recent_windows=3, min_agreement=0.7, agreement_windows=2,
        max_psi_features=0.25, schedule=120, cooldown=40, max_jobs=2, budget_period=200,
        activation_lag_windows=1, record_every_windows=5,
    )  # fmt: skip
    windows, model = [], 0
    for t, (rank, agrees, psi, swap) in enumerate(rows):
        model += swap and t % 7 == 6
        windows.append(window(t, model_id=f"m{model}", rank_ic=rank, agreement=agrees, psi_features=psi))
    expected, last = decide(limits, TriggerState(), windows, size_ns=SIZE)
    state, found = TriggerState(), []
    bounds = [0, *sorted(min(cut, len(windows)) for cut in cuts), len(windows)]
    for start, stop in itertools.pairwise(bounds):
        again = windows[max(0, start - 3) : stop]  # what was settled before comes once more
        decided, state = decide(limits, TriggerState.from_bytes(state.to_bytes()), again, size_ns=SIZE)
        found += decided
    assert found == expected
    assert state.to_bytes() == last.to_bytes()


def test_a_checkpoint_of_something_else_is_refused() -> None:
    with pytest.raises(StateDecodeError):
        TriggerState.from_bytes(b"{}")
    broken = replace(TriggerState(), recent=np.zeros(3, np.float32))
    with pytest.raises(StateDecodeError, match="`recent` must be float64"):
        TriggerState.from_bytes(broken.to_bytes())


def test_a_policy_comes_from_a_file_under_the_environment_under_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('cooldown = "12h"\nmax_jobs = 5\nstaleness = "30d"\nrecipe_id = "quick"\n')
    monkeypatch.setenv("CS3G_TRIGGER_FILE", str(path))
    monkeypatch.setenv("CS3G_TRIGGER_MAX_JOBS", "7")
    found = load_trigger_policy(seed=3, staleness="10d")
    hour = 3600 * 10**9
    assert (found.cooldown, found.max_jobs, found.staleness) == (12 * hour, 7, 240 * hour)
    assert (found.recipe_id, found.seed, found.promotion) == ("quick", 3, "auto")
    assert found.digest() != load_trigger_policy().digest()
    path.write_text("cool = 1\n")
    with pytest.raises(ConfigError, match="`cool`"):
        load_trigger_policy()
    path.write_text("cooldown = [")
    with pytest.raises(ConfigError, match=r"policy\.toml' cannot be read"):
        load_trigger_policy()
    with pytest.raises(ConfigError, match="nothing"):
        load_trigger_policy(tmp_path / "nothing.toml")
    monkeypatch.delenv("CS3G_TRIGGER_FILE")
    for settings in ({"recipe_id": "../x"}, {"cooldown": "soon"}, {"decay_z": -1}, {"budget_period": 0}):
        with pytest.raises(ConfigError, match=r"`(recipe_id|cooldown|decay_z|budget_period)`"):
            load_trigger_policy(**settings)
