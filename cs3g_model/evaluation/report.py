"""One report over models: each model's numbers over its seeds, and every other model against the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cs3g_model.errors import EvaluationError
from cs3g_model.evaluation.books import BOOK_SIZE
from cs3g_model.evaluation.comparison import (
    MARGIN,
    diebold_mariano,
    equivalence,
    mean_difference,
    ratio_of_means,
    ratio_of_sharpes,
    top_overlap,
)
from cs3g_model.evaluation.confidence_set import confidence_set
from cs3g_model.evaluation.panel import CrossSections
from cs3g_model.evaluation.resampling import Resampling
from cs3g_model.evaluation.scoring import ScoreSeries, score_series, within_groups
from cs3g_model.evaluation.summary import MIN_COVERAGE, net_excess, over_seeds, summarize
from cs3g_model.metrics import agreement, rank_ic

__all__ = ["Settings", "compare_models", "evaluate", "judge"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SPAN: Final = {1: 1, 5: 5, 101: 1}  # windows that a label spans, by horizon


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the statistics.

    Attributes
    ----------
    margin
        Of equivalence, in mean rank IC.
    block, draws, seed
        Of the stationary bootstrap; the defaults are the protocol's.
    set_size
        Level of the model confidence set.
    """

    margin: float = MARGIN
    block: float = 10.0
    draws: int = 2000
    seed: int = 0
    set_size: float = 0.10


def judge(
    scores: Sequence[FloatArray],
    sections: CrossSections,
    resampling: Resampling,
    groups: IntArray | None = None,
) -> tuple[list[ScoreSeries], dict[str, Any]]:
    """Judge one model by its files of scores, one a seed.

    Parameters
    ----------
    scores
        Each (T, N) over the panel or (W, N) over the sections.
    resampling
        Of W windows.
    groups
        (N,) group of each instrument, -1 for none: adds the rank IC within groups.

    Returns
    -------
    The per-window series, and the values: `mean`, `std` and `per_file` numbers, `n` files, `ric_daily`, the
    seed-averaged rank IC series, whose limits stand in `mean`, and whether they are `comparable`.
    """
    found = [score_series(one, sections) for one in scores]
    rows = [
        summarize(one, sections.windows_a_year, resampling) | _within(one, sections, groups) for one in found
    ]
    mean, spread = over_seeds(rows)
    averaged = seed_average(found)
    mean["RankIC_lo"], mean["RankIC_hi"], mean["RankIC_p0"] = resampling.limits(averaged)
    values = {
        "mean": mean,
        "std": spread,
        "n": len(rows),
        "per_file": rows,
        "ric_daily": averaged.tolist(),
        "comparable": all(row["coverage"] >= MIN_COVERAGE for row in rows),
    }
    return found, values


def seed_average(series: Sequence[ScoreSeries]) -> FloatArray:
    """Return the mean over seeds of each window's rank IC, (W,)."""
    averaged: FloatArray = np.mean([one.rank_ic for one in series], axis=0)
    return averaged


def compare_models(
    a: Sequence[ScoreSeries],
    b: Sequence[ScoreSeries],
    sections: CrossSections,
    resampling: Resampling,
    settings: Settings,
) -> dict[str, Any]:
    """Return every paired statistic of model A against model B, plain values, from seed-averaged series.

    Fidelity pairs the files of A and B by their order where there are as many, else each with each.
    """
    span = _SPAN[sections.horizon]
    # The books' series lack the first window, so they are drawn on their own.
    books = Resampling.of(
        len(sections.windows) - 1, block=settings.block, draws=settings.draws, seed=settings.seed
    )
    rank_a, rank_b = seed_average(a), seed_average(b)
    ic_a, ic_b = (np.mean([one.ic for one in series], axis=0) for series in (a, b))
    net_a, net_b = _net_series(a), _net_series(b)
    direction_a, direction_b = (
        np.mean([2 * one.direction.cross_section - 1 for one in series], axis=0) for series in (a, b)
    )
    return {
        "difference": asdict(mean_difference(rank_a, rank_b, resampling)),
        "equivalence": asdict(equivalence(rank_a, rank_b, resampling, margin=settings.margin, horizon=span)),
        "diebold_mariano": {
            "rank_ic": asdict(diebold_mariano(1 - rank_a, 1 - rank_b, span)),
            "ic": asdict(diebold_mariano(1 - ic_a, 1 - ic_b, span)),
        },
        "retention": asdict(ratio_of_means(rank_a, rank_b, resampling)),
        "direction_ratio": asdict(ratio_of_means(direction_a, direction_b, resampling)),
        "net_ir_ratio": {
            book: asdict(ratio_of_sharpes(net_a[book], net_b[book], books)) for book in ("LO", "TD")
        },
        "fidelity": _fidelity(a, b, sections, resampling),
    }


def evaluate(
    models: Sequence[tuple[str, Sequence[FloatArray]]],
    sections: CrossSections,
    settings: Settings | None = None,
    groups: IntArray | None = None,
) -> dict[str, Any]:
    """Judge models and compare every other one with the first.

    Parameters
    ----------
    models
        Name and files of scores, one a seed, of each; names differ.
    sections
        Windows, universe and labels.
    groups
        (N,) group of each instrument, -1 for none.

    Returns
    -------
    dict[str, Any]
        Plain values that JSON can hold: the first model's as of `judge`; `vs`, its difference to the second, and
        `comparisons`, as of `compare_models`, where there are others; `confidence_set` of three and more.

    Raises
    ------
    EvaluationError
        If there is no model, a model has no file, or two have one name.
    """
    settings = settings or Settings()
    names = [name for name, _ in models]
    if not names or len(set(names)) != len(names) or not all(len(scores) for _, scores in models):
        raise EvaluationError(f"`models` must be different names, each with scores, were {names}")
    resampling = Resampling.of(
        len(sections.windows), block=settings.block, draws=settings.draws, seed=settings.seed
    )
    judged = {name: judge(scores, sections, resampling, groups) for name, scores in models}
    first = names[0]
    out: dict[str, Any] = {
        "name": first,
        **judged[first][1],
        "settings": asdict(settings) | {"draws": len(resampling.indices)},
    }
    out["comparisons"] = [
        {"name": name, **judged[name][1]}
        | compare_models(judged[first][0], judged[name][0], sections, resampling, settings)
        for name in names[1:]
    ]
    if len(names) > 1:
        out["vs"] = out["comparisons"][0]["difference"]
    if len(names) > 2:
        losses = {name: 1 - seed_average(series) for name, (series, _) in judged.items()}
        found = confidence_set(
            losses,
            size=settings.set_size,
            block=settings.block,
            draws=len(resampling.indices),
            seed=settings.seed,
        )
        out["confidence_set"] = asdict(found)
    return out


def _within(series: ScoreSeries, sections: CrossSections, groups: IntArray | None) -> dict[str, float]:
    if groups is None:
        return {}
    scores, labels = (
        within_groups(values, groups, sections.scored) for values in (series.scores, sections.labels)
    )
    found = rank_ic(scores, labels, sections.scored)
    return {"RankIC_within": float(np.nanmean(found)) if np.isfinite(found).any() else 0.0}


def _net_series(series: Sequence[ScoreSeries]) -> dict[str, FloatArray]:
    """Return each book's net excess, averaged over seeds."""
    found = [net_excess(one.books) for one in series]
    return {
        "LO": np.mean([one[1] for one in found], axis=0),
        "TD": np.mean([one[3] for one in found], axis=0),
    }


def _fidelity(
    a: Sequence[ScoreSeries], b: Sequence[ScoreSeries], sections: CrossSections, resampling: Resampling
) -> dict[str, float]:
    pairs = list(zip(a, b, strict=True)) if len(a) == len(b) else [(x, y) for x in a for y in b]
    ranked = np.mean([agreement(x.scores, y.scores, sections.scored) for x, y in pairs], axis=0)
    overlap = np.mean([top_overlap(x.scores, y.scores, BOOK_SIZE) for x, y in pairs], axis=0)
    ranked, overlap = np.nan_to_num(ranked), np.nan_to_num(overlap)
    low, high, _ = resampling.limits(ranked)
    return {"spearman": float(ranked.mean()), "lo": low, "hi": high, "top_overlap": float(overlap.mean())}
