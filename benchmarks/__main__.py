"""Run the benchmarks: `python -m benchmarks [SECTION ...] [--quick]`, or `make bench`.

Every section measures ours and the peers' in one run; the table and `benchmarks/results.json` hold all of it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

from benchmarks.peers import peers_python
from benchmarks.results import Machine, print_table, write_results
from benchmarks.rows import Options, Row

SECTIONS: Final = ("stream", "latency", "step", "replay", "scale", "footprint", "training")
RESULTS: Final = Path(__file__).parent / "results.json"
REPEATS, QUICK_REPEATS = 5, 1


def main() -> int:
    """Run the sections that were asked for; return 1 if one could not be measured."""
    options_given = _parse()
    data = options_given.data or os.environ.get("CS3G_DATA")
    python = None if options_given.no_peers else peers_python(options_given.peers_venv)
    repeats = options_given.repeats or (QUICK_REPEATS if options_given.quick else REPEATS)
    machine = Machine.now()
    rows: list[Row] = []
    failed: list[str] = []
    for section in options_given.sections or SECTIONS:
        started = time.perf_counter()
        print(f"== {section}", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"cs3g-bench-{section}-") as work:
            options = Options(
                repeats=repeats,
                quick=options_given.quick,
                minutes=options_given.minutes,
                data=Path(data).resolve() if data else None,
                peers_python=python,
                work=Path(work),
            )
            try:
                rows += importlib.import_module(f"benchmarks.{section}").rows(options)
            except Exception:  # the other sections' numbers are worth having
                traceback.print_exc()
                failed.append(section)
        print(f"   {time.perf_counter() - started:.0f} s", flush=True)
    print_table(rows)
    write_results(options_given.out, rows, machine, repeats=repeats, failed=failed)
    print(f"written to {options_given.out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="one repetition, smaller runs")
    parser.add_argument(
        "--repeats", type=int, default=0, help=f"default {REPEATS}, {QUICK_REPEATS} with --quick"
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the run that shows growth")
    parser.add_argument("--data", help="folder of the real data; default: CS3G_DATA")
    parser.add_argument("--no-peers", action="store_true", help="ours only")
    parser.add_argument(
        "--peers-venv", type=Path, default=Path(".venv-bench"), help="made if it is not there"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    unknown = [name for name in given.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return given


if __name__ == "__main__":
    sys.exit(main())
