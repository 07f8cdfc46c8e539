"""How often the trigger policy cries wolf, and how soon it sees a model decay: made streams of rank ICs.

Rank ICs are independent normal numbers, which is what they are on daily panels but for fat tails. `--drop 0` counts
false alarms; with a drop, the mean falls by it once the reference period and as many windows again have passed.

    python -m benchmarks.trigger_errors --streams 400 --windows 1000 --mean 0.03 --deviation 0.1 --drop 0
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from pipeline.outcomes import SettledWindow
from pipeline.trigger import decide
from pipeline.trigger_config import TriggerPolicy, load_trigger_policy
from pipeline.trigger_state import TriggerState
from topics.control import Outcome
from topics.types import NANOS_PER_DAY, Float64Array


def first_decay(policy: TriggerPolicy, rank_ics: Float64Array) -> int | None:
    """Return at which window of a stream the decay trigger asks for its first job, None if at none."""
    windows = [
        SettledWindow(
            ts_close=(number + 1) * NANOS_PER_DAY,
            matured_ns=(number + 2) * NANOS_PER_DAY,
            outcomes=(
                Outcome(
                    universe="made",
                    role="student",
                    model_id="made",
                    ts_close=(number + 1) * NANOS_PER_DAY,
                    horizon_ns=NANOS_PER_DAY,
                    n_instruments=1,
                    rank_ic=float(value),
                ),
            ),
        )
        for number, value in enumerate(rank_ics)
    ]
    decided, _ = decide(policy, TriggerState(), windows, size_ns=NANOS_PER_DAY)
    return next((one.decision.ts_close // NANOS_PER_DAY - 1 for one in decided if one.job is not None), None)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--windows", type=int, default=600)
    parser.add_argument("--mean", type=float, default=0.03)
    parser.add_argument("--deviation", type=float, default=0.1)
    parser.add_argument("--drop", type=float, default=0.0)
    parser.add_argument("--decay-z", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    policy = load_trigger_policy(decay_z=options.decay_z)
    changes_at = 2 * policy.decay_reference_windows
    generator = np.random.default_rng(options.seed)
    found = []
    for _ in range(options.streams):
        rank_ics = generator.normal(options.mean, options.deviation, options.windows)
        rank_ics[changes_at:] -= options.drop
        found.append(first_decay(policy, rank_ics))
    fired = [place for place in found if place is not None]
    late = [place - changes_at for place in fired if place >= changes_at]
    print(
        json.dumps(
            {
                "decay_z": policy.decay_z,
                "streams": options.streams,
                "fired": len(fired) / options.streams,
                "fired_before_the_drop": sum(place < changes_at for place in fired) / options.streams,
                "median_delay_windows": float(np.median(late)) if late and options.drop else None,
            }
        )
    )


if __name__ == "__main__":
    main()
