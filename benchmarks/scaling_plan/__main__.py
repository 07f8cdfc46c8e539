"""Simulate a deployment: `python -m benchmarks.scaling_plan [--measure | --sweep | --table] [what is deployed]`."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from typing import Any, Final

from benchmarks.scaling_plan.costs import Costs
from benchmarks.scaling_plan.deployment import Deployment
from benchmarks.scaling_plan.report import HEADINGS, report, row, sweep

WHOLE: Final = Deployment()
DEPLOYMENTS: Final = {
    "A: 4 hosts, 3 brokers, one universe": replace(WHOLE, universes=1),
    "B: as A, 10 universes of 10,000": replace(WHOLE, universes=10),
    "C: as A, 50 universes of 2,000": WHOLE,
    "D: as C, 8 brokers": replace(WHOLE, brokers=8),
    "E: as D, 6 hosts": replace(WHOLE, brokers=8, hosts=6),
    "F: as E, sequences apart": replace(WHOLE, brokers=8, hosts=6, placement="apart", universes_per_core=2),
    "G: as C, 16 brokers, 8 hosts": replace(WHOLE, brokers=16, hosts=8),
}
"""The rows of docs/scaling.md."""


def main() -> None:
    """Print what was asked for."""
    parser = _parser()
    given = vars(parser.parse_args())
    mode = {name: given.pop(name) for name in ("measure", "sweep", "table")}
    if mode["measure"]:
        from benchmarks.scaling_plan.measure import measure  # loads the models' libraries

        costs, lines = measure()
        print("\n".join(lines))
        for field in fields(Costs):
            print(f"{field.name} = {getattr(costs, field.name):.3g}")
    elif mode["table"]:
        print("| " + " | ".join(HEADINGS) + " |")
        print("|" + "---|" * len(HEADINGS))
        for name, want in DEPLOYMENTS.items():
            print("| " + " | ".join(row(name, want, Costs())) + " |", flush=True)
    else:
        want = _deployment(parser, given)
        print("\n".join(report(want, Costs())))
        if mode["sweep"]:
            for burst in sorted({1.0, want.burst}):
                rate = sweep(replace(want, burst=burst), Costs())
                what = f"with bursts of {burst:g} times" if burst > 1 else "at a steady rate"
                print(f"largest rate with p99 under a window, {what}: {rate / 1e6:,.4g} M ticks/s")


def _deployment(parser: argparse.ArgumentParser, given: dict[str, Any]) -> Deployment:
    if given.pop("no_loss"):
        given["loss_at_s"] = None
    try:
        return Deployment(**given)
    except ValueError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling_plan",
        description="Where a deployment breaks first: a simulation of costs measured on one machine.",
    )
    parser.add_argument("--measure", action="store_true", help="time the pure code on this machine instead")
    parser.add_argument("--table", action="store_true", help="the table of docs/scaling.md instead")
    parser.add_argument("--sweep", action="store_true", help="find the largest rate as well")
    parser.add_argument("--no-loss", action="store_true", help="lose no host")
    for field in fields(Deployment):
        default = field.default
        kind = float if default is None else type(default)
        choices = ("shared", "apart") if field.name == "placement" else None
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=kind,
            default=default,
            choices=choices,
            help=f"default {default}",
        )
    return parser


if __name__ == "__main__":
    main()
