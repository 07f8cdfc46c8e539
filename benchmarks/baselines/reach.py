"""How much of a generated market's oracle a plain estimator reaches, and whether it sees the planted edges.

The estimator is `rules.lead_lag`: what there is to be had from correlations over 128 windows without learning.
Reach is its rank IC over the oracle's, in stretches of 60 windows of the test part. AUROC is that of
|correlation| over all ordered pairs, the planted edges against all others, in the first window of each stretch.

Example: python -m benchmarks.baselines.reach --seed 0 --set strength=0.3,0.4 --set leaders=3
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.stats import rankdata

from benchmarks.baselines.panel import BoolArray, FloatArray, Panel
from benchmarks.baselines.rules import lagged_correlation, lead_lag, standardized
from benchmarks.baselines.study import Study, make_study
from cs3g_model.metrics import rank_ic
from replay.errors import ReplayError
from replay.generator.clock import date_of, window_size_ns
from replay.generator.config import MarketConfig, read_market_config
from replay.generator.market import Market, generate_market

_STRETCH: Final = 60
_LOOK_BACK: Final = 128


def study_of(market: Market) -> Study:
    """Return a market of days as a study of its own three parts."""
    bars, names = market.bars, market.names
    panel = Panel(
        market.ts_open,
        window_size_ns(market.config.window),
        names.symbols,
        names.sector,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        np.log(bars.close * bars.volume),
    )
    train_end, valid_end = (date_of(int(market.ts_open[stop - 1])) for stop in market.splits)
    return make_study(panel, train_end, valid_end)


def auroc(scores: FloatArray, positive: BoolArray) -> float:
    """Return the probability that a positive has a higher score than a negative, (M,) both; ties count half."""
    count = int(positive.sum())
    ranks = rankdata(scores)[positive].sum() - count * (count + 1) / 2
    return float(ranks / (count * (len(scores) - count)))


def measure(market: Market) -> dict[str, Any]:
    """Measure reach and AUROC on the test part of a market of days."""
    study = study_of(market)
    fitted = lead_lag(study, 0, np.inf)
    test = study.test[:-1]
    labels = study.labels[test]
    scored = np.isfinite(labels)
    reached, possible = (rank_ic(s[test], labels, scored) for s in (fitted.scores, market.oracle))
    returns = {"standardized": standardized(study), "plain": np.nan_to_num(study.returns)}
    stretches = []
    for start in range(0, len(test), _STRETCH):
        part, t = slice(start, start + _STRETCH), int(test[start])
        row = {"window": t, "reach": float(reached[part].mean() / possible[part].mean())}
        for name, values in returns.items():
            row |= {f"{k}_{name}": v for k, v in _edges(market, values[t - _LOOK_BACK : t + 1], t).items()}
        stretches.append(row)
    return {
        "oracle_rank_ic": float(possible.mean()),
        "reach": float(reached.mean() / possible.mean()),
        "threshold": fitted.about["threshold"],
        "stretches": stretches,
    }


def _edges(market: Market, values: FloatArray, t: int) -> dict[str, float]:
    correlation = np.abs(lagged_correlation(values))
    edge = market.graph.adjacency(t, len(correlation)) != 0
    others = ~np.eye(len(edge), dtype=np.bool_)
    return {"auroc": auroc(correlation[others], edge[others]), "edge": float(correlation[edge].mean())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines.reach", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of MarketConfig")
    options = parser.parse_args(arguments)
    try:
        changes = dict(_setting(text) for text in options.set)
        found = measure(generate_market(read_market_config(None, seed=options.seed, **changes)))
    except ReplayError as error:
        print(f"reach: error: {error}", file=sys.stderr)
        return 1
    print(f"oracle {found['oracle_rank_ic']:.3f}, reach {found['reach']:.3f}, threshold {found['threshold']}")
    for row in found["stretches"]:
        print(" ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    return 0


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    default = getattr(MarketConfig(), name, None)
    try:
        if isinstance(default, tuple):
            return name, [float(part) for part in value.split(",") if part]
        return name, type(default)(value) if isinstance(default, (int, float)) else value
    except ValueError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
