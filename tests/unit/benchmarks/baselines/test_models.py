from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
import torch

from benchmarks.baselines import neural, rules, tabular
from benchmarks.baselines.__main__ import MODELS
from benchmarks.baselines.networks import Lstm, SectorGat, StockMixer, count_parameters
from benchmarks.baselines.panel import Panel
from benchmarks.baselines.study import Study, make_study
from replay.generator.clock import FIRST_DAY
from replay.generator.config import MarketConfig
from tests.unit.benchmarks.baselines.factories import panel_of

TRAIN_END, VALID_END = (FIRST_DAY + timedelta(days=7 * weeks - 3) for weeks in (26, 33))
CAP_S = 60.0


def study_of(panel: Panel) -> Study:
    return make_study(panel, TRAIN_END, VALID_END)


@pytest.fixture(scope="module")
def bouncing() -> Study:
    """Nothing but the bounce between bid and ask to be predicted: what rose last falls back."""
    config = MarketConfig(instruments=20, windows=200, followers=0.0, half_spread=1.5, changes=(), seed=3)
    return study_of(panel_of(config))


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("equal_weight", "lead_lag")])
def test_every_model_finds_the_bounce_of_prices(
    bouncing: Study, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(neural, "_MOST_EPOCHS", 2)
    fitted = MODELS[name](bouncing, 0, CAP_S)
    # StockMixer learns slowly here, because its labels are returns and not z-scores.
    assert fitted.about["valid_rank_ic"] > (0.12 if name == "stockmixer" else 0.35)
    assert fitted.about["valid_rank_ic"] == pytest.approx(bouncing.valid_rank_ic(fitted.scores))
    wanted = np.concatenate([bouncing.valid, bouncing.test])
    assert (np.isfinite(fitted.scores[wanted]) == bouncing.known[wanted]).all()


@pytest.mark.parametrize("name", ["lightgbm", "lstm", "gat", "stockmixer"])
def test_the_same_seed_gives_the_same_scores(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(neural, "_MOST_EPOCHS", 1)
    monkeypatch.setattr(tabular, "_MOST_TREES", 10)
    config = MarketConfig(instruments=8, windows=180, seed=4)
    study = study_of(panel_of(config))
    first, again, other = (MODELS[name](study, seed, CAP_S).scores.tobytes() for seed in (0, 0, 1))
    assert first == again != other


def test_lead_lag_follows_the_planted_leaders_where_ridge_cannot() -> None:
    study = study_of(panel_of(MarketConfig(instruments=40, windows=240, changes=(), seed=5)))
    followed = rules.lead_lag(study, 0, CAP_S)
    assert followed.about["valid_rank_ic"] > 0.5
    assert tabular.ridge(study, 0, CAP_S).about["valid_rank_ic"] < 0.2


def test_lead_lag_looks_at_nothing_later() -> None:
    panel = panel_of(MarketConfig(instruments=20, windows=240, seed=6))
    t0 = 215
    changed = panel_of(MarketConfig(instruments=20, windows=240, seed=6))
    changed.close[t0 + 1 :] *= np.random.default_rng(0).uniform(0.9, 1.1, changed.close[t0 + 1 :].shape)
    one, two = (rules.lead_lag(study_of(p), 0, CAP_S) for p in (panel, changed))
    assert one.about["threshold"] == two.about["threshold"]
    assert one.scores[: t0 + 1].tobytes() == two.scores[: t0 + 1].tobytes()
    assert one.scores[t0 + 1 :].tobytes() != two.scores[t0 + 1 :].tobytes()


def test_rules_are_what_they_are_called(bouncing: Study) -> None:
    scores = rules.reversal(bouncing, 0, CAP_S).scores
    close = bouncing.panel.close
    np.testing.assert_allclose(scores[16:], np.clip(1 - close[16:] / close[15:-1], -0.4, 0.4), atol=1e-12)
    assert rules.equal_weight(bouncing, 0, CAP_S).about["valid_rank_ic"] == 0.0


def test_lagged_correlation_is_of_the_row_now_with_the_column_before() -> None:
    z = np.random.default_rng(0).standard_normal((50, 3))
    found = rules.lagged_correlation(z)
    for i in range(3):
        for j in range(3):
            assert found[i, j] == pytest.approx(np.corrcoef(z[1:, i], z[:-1, j])[0, 1])


def test_networks_have_the_protocols_sizes() -> None:
    assert count_parameters(Lstm()) == 18_497
    assert count_parameters(SectorGat(np.zeros(4, np.int64))) == 22_785
    assert count_parameters(StockMixer(504)) == 10_691


def test_attention_stays_in_the_sector_and_unknown_sectors_keep_to_themselves() -> None:
    torch.manual_seed(0)
    model = SectorGat(np.array([0, 0, 1, -1, -1]))
    x = torch.randn(5, 16, 6)
    everyone = torch.arange(5)
    base = model(x, everyone)
    for changed, moved in ((0, {0, 1}), (2, {2}), (3, {3})):
        other = x.clone()
        other[changed] += 1
        difference = (model(other, everyone) - base).abs() > 1e-7
        assert set(difference.nonzero()[:, 0].tolist()) == moved
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(model(x[order], order), base[order])


def test_stockmixer_takes_absent_instruments_for_zeros() -> None:
    torch.manual_seed(0)
    model = StockMixer(4)
    x = torch.randn(4, 16, 6)
    x[2] = 0
    here = torch.tensor([0, 1, 3])
    torch.testing.assert_close(model(x[here], here), model(x, torch.arange(4))[here])


def test_causal_time_sees_only_bars_before() -> None:
    mixer = StockMixer(2).fine_mixer.time
    x = torch.randn(1, 6, 16)
    changed = x.clone()
    changed[..., 10] += 1
    difference = (mixer(changed) - mixer(x)).abs().amax(dim=(0, 1)) > 1e-7
    assert difference.tolist() == [k >= 10 for k in range(16)]
