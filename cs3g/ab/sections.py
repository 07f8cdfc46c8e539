"""The windows and instruments on which models are compared: those that all of them scored, warmed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cs3g.ab.market import Market
from cs3g.ab.scores import ModelScores
from cs3g.ab.settings import MIN_WINDOWS, AbSettings
from cs3g.errors import ComparisonError
from cs3g_model.errors import EvaluationError
from cs3g_model.evaluation.panel import CrossSections, MarketPanel, cross_sections
from topics.types import Float64Array

__all__ = ["common_sections", "reversal_scores"]


def common_sections(
    models: Sequence[ModelScores], market: Market, settings: AbSettings
) -> tuple[CrossSections, MarketPanel]:
    """Cut out what can be compared: labels are the next window's return, so the last window has none.

    Parameters
    ----------
    models
        One or more, laid on the market.
    market
        Prices of the same windows.

    Raises
    ------
    ComparisonError
        Too little is left, with what to do.
    """
    panel = market.panel()
    cold = np.any([model.warmup for model in models], axis=0)
    if cold.all():
        needs = max(models, key=lambda model: int(model.warmup.sum()))
        raise ComparisonError(
            f"all {len(cold):,} windows are warm-up of {needs.name!r} ({needs.manifest.model_id}): "
            "give more windows"
        )
    # Windows before still count as history of those that are judged.
    first = int(panel.starts_ns[np.flatnonzero(~cold)[0]])
    try:
        sections = cross_sections(panel, start_ns=first, history=settings.history)
    except EvaluationError as error:
        raise ComparisonError(
            f"{error}; {int(cold.sum())} of {len(cold):,} windows are the models' warm-up: "
            "give more windows or more instruments"
        ) from error
    here = sections.windows
    scored = sections.scored & ~cold[here, np.newaxis]
    for model in models:
        with_scores = scored & np.isfinite(model.scores[here])
        if scored.any() and not with_scores.any():
            raise ComparisonError(
                f"{model.name!r} has no instrument in common with the market or the other models in any of "
                f"{len(here):,} windows: compare models on the same universe"
            )
        scored = with_scores
    kept = np.flatnonzero(scored.sum(axis=1) >= 2)
    if len(kept) < MIN_WINDOWS:
        raise ComparisonError(
            f"{len(kept)} windows can be compared, at least {MIN_WINDOWS} are needed: of {len(cold):,} windows, "
            f"{int(cold.sum())} are the models' warm-up and the others lack two instruments with "
            f"{settings.history + 1} prices without a gap, a next price and a score of every model; "
            "give more windows or more instruments"
        )
    cut = replace(
        sections,
        windows=here[kept],
        starts_ns=sections.starts_ns[kept],
        labels=sections.labels[kept],
        scored=scored[kept],
        tradable=(sections.tradable & scored)[kept],
    )
    return cut, panel


def reversal_scores(panel: MarketPanel) -> Float64Array:
    """Return minus the window's own return, (T, N): the control that every model has to beat; 0 for none."""
    past = panel.returns()
    return np.where(np.isfinite(past), -past, 0.0)
