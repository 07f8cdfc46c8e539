from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from benchmarks.baselines.study import Study, make_study
from replay.errors import ConfigError
from replay.generator.clock import FIRST_DAY
from replay.generator.config import MarketConfig
from tests.unit.benchmarks.baselines.factories import panel_of

CONFIG = MarketConfig(instruments=8, windows=100, seed=2)
FRIDAY_8, FRIDAY_12, FRIDAY_16 = (FIRST_DAY + timedelta(days=7 * weeks - 3) for weeks in (8, 12, 16))


def study() -> Study:
    return make_study(panel_of(CONFIG, missing=((50, 3),)), FRIDAY_8, FRIDAY_12, FRIDAY_16)


def test_parts_end_before_labels_that_are_realized_after_them() -> None:
    made = study()
    assert made.train.tolist() == list(range(16, 39))
    assert made.valid.tolist() == list(range(40, 59))
    assert made.test.tolist() == list(range(60, 80))


def test_labels_are_next_returns_of_those_who_have_inputs() -> None:
    made = study()
    close = made.panel.close
    np.testing.assert_allclose(made.labels[16:-1, 0], close[17:, 0] / close[16:-1, 0] - 1)
    assert np.isnan(made.labels[:16]).all()
    assert np.isnan(made.labels[-1]).all()
    assert np.isnan(made.labels[49:67, 3]).all()
    assert np.isfinite(made.labels[67, 3])
    scored, target = made.targets(49)
    assert scored.tolist() == [n != 3 for n in range(8)]
    assert target.mean() == pytest.approx(0, abs=1e-6)
    assert target.std() == pytest.approx(1, abs=1e-5)


def test_minutes_have_no_label_over_the_night() -> None:
    panel = panel_of(replace(CONFIG, windows=800, window="1m"))
    made = make_study(panel, FIRST_DAY, FIRST_DAY + timedelta(days=1))
    assert np.isnan(made.labels[[389, 779, 799]]).all()
    assert np.isfinite(made.labels[390:779]).all()
    assert made.train.tolist() == list(range(16, 389))


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ((FRIDAY_12, FRIDAY_8, FRIDAY_16), "must ascend"),
        ((FRIDAY_8, FRIDAY_8, None), "must ascend"),
        ((FIRST_DAY, FRIDAY_8, None), "no window is left of the train part"),
        ((FRIDAY_8, date(2030, 1, 1), None), "no window is left of the test part"),
    ],
)
def test_dates_that_leave_nothing_are_refused(ends: tuple[date, date, date | None], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_study(panel_of(CONFIG), *ends)
