"""Fit baselines to a panel and write their scores of the test part.

Writes OUT/MODEL_sSEED.parquet (ts_close in ns, symbol, score), which `cs3g evaluate` judges, and
OUT/baselines.json: validation rank IC, seconds, parameters. Nobody looks at a test label here.

Example: python -m benchmarks.baselines --data market/panel.parquet --relations market/sectors.parquet
--train-end 2018-09-28 --valid-end 2019-08-09 --models reversal,ridge,lstm --seeds 0,1 --out baselines
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch

from benchmarks.baselines import neural, rules, tabular
from benchmarks.baselines.panel import read_panel
from benchmarks.baselines.study import Fitted, Study, make_study
from cs3g.files import write_json, write_whole
from cs3g.panel_data import parse_window
from cs3g_model.errors import ModelError
from replay.errors import ReplayError

MODELS: Final[dict[str, Callable[[Study, int, float], Fitted]]] = {
    "reversal": rules.reversal,
    "equal_weight": rules.equal_weight,
    "lead_lag": rules.lead_lag,
    "ridge": tabular.ridge,
    "lightgbm": tabular.lightgbm,
    "lstm": neural.lstm,
    "gat": neural.gat,
    "stockmixer": neural.stockmixer,
}
WITHOUT_SEED: Final = ("reversal", "equal_weight", "lead_lag", "ridge")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # the protocol's
    try:
        panel = read_panel(options.data, options.relations, parse_window(options.window))
        study = make_study(panel, options.train_end, options.valid_end, options.test_end)
    except (ModelError, ReplayError) as error:
        print(f"baselines: error: {error}", file=sys.stderr)
        return 1
    runs = []
    for name in options.models:
        for seed in options.seeds[:1] if name in WITHOUT_SEED else options.seeds:
            fitted = MODELS[name](study, seed, options.cap_s)
            path = options.out / f"{name}_s{seed}.parquet"
            write_scores(study, fitted.scores, path)
            runs.append({"model": name, "seed": seed, "file": path.name, **fitted.about})
            print(f"{path}: validation rank IC {fitted.about['valid_rank_ic']:.4f}", flush=True)
            write_json(options.out / "baselines.json", _report(study, options, runs))
    return 0


def write_scores(study: Study, scores: np.ndarray[Any, np.dtype[np.float64]], path: Path) -> None:
    """Write the scores of the test windows as (ts_close, symbol, score)."""
    t, n = np.nonzero(study.known[study.test])
    t = study.test[t]
    frame = pl.DataFrame(
        {
            "ts_close": study.panel.ts_open[t] + study.panel.size_ns,
            "symbol": pl.Series(study.panel.symbols, dtype=pl.String).gather(n),
            "score": scores[t, n],
        }
    )
    write_whole(path, frame.write_parquet)


def _report(study: Study, options: argparse.Namespace, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "data": str(options.data),
        "parts": {name: len(getattr(study, name)) for name in ("train", "valid", "test")},
        "instruments": study.shape[1],
        "cap_s": options.cap_s,
        "runs": runs,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines", description=__doc__)
    parser.add_argument("--data", required=True, help="panel, bars or ticks; or an installed data set")
    parser.add_argument("--relations", type=Path, help="table of symbol, sector")
    for name in ("train", "valid"):
        parser.add_argument(f"--{name}-end", type=date.fromisoformat, required=True, help="last day, UTC")
    parser.add_argument("--test-end", type=date.fromisoformat, help="last day; the panel's without it")
    parser.add_argument("--window", help="length of a window, such as 1m")
    parser.add_argument("--models", type=_models, default=list(MODELS), help=f"of {','.join(MODELS)}")
    parser.add_argument("--seeds", type=_seeds, default=[0], help="with commas between")
    parser.add_argument(
        "--cap-s", type=float, default=150.0, help="most seconds of CPU time to fit one model"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder")
    return parser


def _models(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in MODELS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(MODELS)}")
    return names


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
