"""Models against what the market did, against each other, and against a rule of one line. Pure.

A label is the return from a window's close to the next window's, known only one window later; nothing here sees
it earlier. Controls stand beside the models: one-window reversal, and equal weight as the books' benchmark.

Letters: T windows of the market, W windows that are judged, N instruments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from cs3g.ab.books import LongShort, long_short
from cs3g.ab.breakdown import by_regime, by_sector
from cs3g.ab.calibration import calibration
from cs3g.ab.intervals import Intervals
from cs3g.ab.market import Market
from cs3g.ab.scores import ModelScores
from cs3g.ab.sections import common_sections, reversal_scores
from cs3g.ab.settings import AbSettings
from cs3g.errors import ComparisonError
from cs3g_model.evaluation.confidence_set import confidence_set
from cs3g_model.evaluation.panel import CrossSections
from cs3g_model.evaluation.report import compare_models, judge
from cs3g_model.evaluation.scoring import ScoreSeries
from cs3g_model.evaluation.summary import sharpe_ratio
from cs3g_model.metrics import agreement
from topics.types import Float64Array, Int64Array

__all__ = ["REVERSAL", "Comparison", "compare"]

REVERSAL: Final = "reversal"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    Attributes
    ----------
    names
        Models, in order.
    ts_close
        (W,) ends of the judged windows, ns.
    rank_ic
        (W,) of each model and of the reversal by name.
    ic
        The same, of Pearson's correlation.
    agreement
        (W,) rank correlation of two models' scores, by their names.
    books
        Long-short book of each model and of the reversal.
    equal_weight
        (W,) mean label.
    values
        Everything that a report states, as plain values.
    """

    names: tuple[str, ...]
    ts_close: Int64Array
    rank_ic: dict[str, Float64Array]
    ic: dict[str, Float64Array]
    agreement: dict[tuple[str, str], Float64Array]
    books: dict[str, LongShort]
    equal_weight: Float64Array
    values: dict[str, Any]


def compare(models: Sequence[ModelScores], market: Market, settings: AbSettings | None = None) -> Comparison:
    """Compare models on the windows and instruments that all of them scored after their warm-up.

    Parameters
    ----------
    models
        One or more, laid on the market; a single one is judged beside the controls.
    market
        Prices of the same windows.

    Raises
    ------
    ComparisonError
        Two models have one name, or too little is left to compare.
    """
    settings = settings or AbSettings()
    names = tuple(model.name for model in models)
    if not names or len({*names, REVERSAL}) != len(names) + 1:
        raise ComparisonError(
            f"models must have different names other than {REVERSAL!r}, were {', '.join(names)}"
        )
    sections, panel = common_sections(models, market, settings)
    intervals = Intervals(settings)
    resampling = intervals.of(len(sections.windows))
    given = {model.name: model.scores for model in models} | {REVERSAL: reversal_scores(panel)}
    groups = market.sector.astype(np.int64) if (market.sector >= 0).any() else None
    judged = {name: judge([scores], sections, resampling, groups) for name, scores in given.items()}
    series = {name: found[0] for name, (found, _) in judged.items()}
    laid = {name: np.where(sections.scored, one.scores, 0.0) for name, one in series.items()}
    books = {name: long_short(laid[name], one.books, sections) for name, one in series.items()}
    both = {(a, b): agreement(laid[a], laid[b], sections.scored) for a, b in combinations(names, 2)}
    ranked = {name: one.rank_ic for name, one in series.items()}
    own = {name: laid[name] for name in names}
    values: dict[str, Any] = {
        "windows": len(sections.windows),
        "instruments": int(sections.scored.any(axis=0).sum()),
        "pairs": int(sections.scored.sum()),
        "min_names": sections.min_names,
        "first_ts_close": int(sections.starts_ns[0] + market.size_ns),
        "last_ts_close": int(sections.starts_ns[-1] + market.size_ns),
        "warmup_windows": int(np.any([model.warmup for model in models], axis=0).sum()),
        "windows_a_year": sections.windows_a_year,
        "models": {name: _numbers(judged[name][1], books[name], sections) for name in names},
        "controls": {
            REVERSAL: _numbers(judged[REVERSAL][1], books[REVERSAL], sections),
            "equal_weight": _equal_weight(series[names[0]], sections),
        },
        "against_reversal": {name: intervals.mean(ranked[name] - ranked[REVERSAL]) for name in names},
        "pairs_of_models": [
            {"a": a, "b": b}
            | compare_models([series[a]], [series[b]], sections, resampling, settings.evaluation())
            for a, b in combinations(names, 2)
        ],
        "calibration": calibration(own, sections, intervals),
        "sectors": by_sector(own, sections, market, intervals),
        "regimes": by_regime({name: ranked[name] for name in names}, sections, panel, intervals),
        "series": {
            "ts_close": (sections.starts_ns + market.size_ns).tolist(),
            "rank_ic": {name: one.tolist() for name, one in ranked.items()},
        },
    }
    if len(names) > 2:
        losses = {name: 1 - ranked[name] for name in names}
        s = settings
        found = confidence_set(
            losses, size=s.set_size, block=s.block, draws=len(resampling.indices), seed=s.seed
        )
        values["confidence_set"] = asdict(found)
    return Comparison(
        names=names,
        ts_close=sections.starts_ns + market.size_ns,
        rank_ic=ranked,
        ic={name: one.ic for name, one in series.items()},
        agreement=both,
        books=books,
        equal_weight=series[names[0]].books.equal_weight,
        values=values,
    )


def _numbers(judged: dict[str, Any], book: LongShort, sections: CrossSections) -> dict[str, float]:
    """Return the protocol's numbers of one model, and the long-short book's after costs."""
    year = sections.windows_a_year
    return dict(judged["mean"]) | {
        "LS_net": float(book.net.mean() * year),
        "LS_net_sharpe": sharpe_ratio(book.net, year),
        "LS_turnover": float(book.turnover.mean()),
    }


def _equal_weight(series: ScoreSeries, sections: CrossSections) -> dict[str, float]:
    """Return what holding everything gave."""
    returns, year = series.books.equal_weight, sections.windows_a_year
    return {
        "mean_return": float(returns.mean()),
        "EW_ann": float(returns.mean() * year),
        "EW_sharpe": sharpe_ratio(returns, year),
    }
