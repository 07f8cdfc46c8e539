"""An evaluation's report for people: a small table of numbers, and one of the comparisons."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from cs3g.tables import print_whole
from cs3g_model.evaluation.calendar import DAY_NS

# Rows of the first table: what it says, the number's name, its format.
_ROWS: Final = (
    ("IC", "IC", ".4f"),
    ("ICIR", "ICIR", ".3f"),
    ("rank IC", "RankIC", ".4f"),
    ("rank ICIR", "RankICIR", ".3f"),
    ("rank IC within sectors", "RankIC_within", ".4f"),
    ("direction, chance .5", "DAcs", ".4f"),
    ("  corrected for chance", "DAcs_cc", ".4f"),
    ("direction, raw", "DA", ".4f"),
    ("  the majority's", "base", ".4f"),
    ("long-short Sharpe", "LS_sharpe", ".2f"),
    ("top excess a year", "LO_ex", ".1%"),
    ("  net of 5/15 bp", "LO_net", ".1%"),
    ("  net of 5, of 15 bp", ("LO_net5flat", "LO_net15flat"), ".1%"),
    ("  turnover a window", "turnover", ".1%"),
    ("dropout excess a year", "TD_ex", ".1%"),
    ("  net of 5/15 bp", "TD_net", ".1%"),
    ("  net inform. ratio", "TD_net_IR", ".2f"),
    ("  turnover a window", "TD_turnover", ".1%"),
    ("equal weight a year", "EW_ann", ".1%"),
    ("  Sharpe", "EW_sharpe", ".2f"),
)


def print_report(report: dict[str, Any], console: Console | None = None) -> None:
    """Print what `cs3g evaluate` found."""
    console = console or Console()
    panel = report["panel"]
    console.print(
        f"{panel['file']}: {len(panel['starts_ns']):,} windows {_when(panel, 'first_ns')} .. "
        f"{_when(panel, 'last_ns')}, {panel['names_a_window']:.1f} instruments in each (at least "
        f"{panel['min_names']}), horizon {panel['horizon']}, {panel['windows_a_year']:,.0f} windows a year",
        highlight=False,
        soft_wrap=True,
    )
    models = [report, *report["comparisons"]]
    table = Table("", *(_heading(one) for one in models), box=None, pad_edge=False)
    for label, names, form in _ROWS:
        first = names if isinstance(names, str) else names[0]
        if first in report["mean"]:
            table.add_row(label, *(_cell(one, names, form) for one in models))
        if first == "RankIC":
            table.add_row(
                "  95 % limits",
                *(f"[{one['mean']['RankIC_lo']:+.4f}, {one['mean']['RankIC_hi']:+.4f}]" for one in models),
            )
    table.add_row("coverage", *(_coverage(one) for one in models))
    print_whole(console, table)
    for other in report["comparisons"]:
        _print_comparison(console, report, other)
    if "confidence_set" in report:
        found = report["confidence_set"]
        values = ", ".join(f"{name} p={value:.3f}" for name, value in found["p_values"].items())
        console.print(
            f"\nModel confidence set at {1 - found['size']:.0%}: {', '.join(found['included'])}\n  {values}",
            highlight=False,
            markup=False,
        )
    for one in report["files"]:
        if one["not_finite"]:
            console.print(
                f"{one['file']}: {one['not_finite']:,} scores are not finite and count as missing",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )


def _print_comparison(console: Console, report: dict[str, Any], other: dict[str, Any]) -> None:
    difference, equal = other["difference"], other["equivalence"]
    dm, fidelity = other["diebold_mariano"]["rank_ic"], other["fidelity"]
    rows = [
        (
            "rank IC difference",
            f"{difference['diff']:+.4f} [{difference['lo']:+.4f}, {difference['hi']:+.4f}], paired bootstrap 95 %",
        ),
        (
            f"equivalent within ±{equal['margin']:g}",
            f"{'yes' if equal['equivalent'] else 'not shown'}: TOST p = {equal['p_value']:.4f}, "
            f"{1 - 2 * equal['alpha']:.0%} interval [{equal['lo']:+.4f}, {equal['hi']:+.4f}]",
        ),
        ("Diebold-Mariano, loss 1 - rank IC", f"{dm['statistic']:+.2f}, p = {dm['p_value']:.4f}"),
        ("share of its rank IC", _ratio(other["retention"])),
        ("share of its direction above chance", _ratio(other["direction_ratio"])),
        ("share of its net IR, dropout book", _ratio(other["net_ir_ratio"]["TD"])),
        ("share of its net IR, top book", _ratio(other["net_ir_ratio"]["LO"])),
        (
            "fidelity: rank correlation of scores",
            f"{fidelity['spearman']:.4f} [{fidelity['lo']:.4f}, {fidelity['hi']:.4f}], "
            f"{fidelity['top_overlap']:.1%} of the top shared",
        ),
    ]
    table = Table("", f"{report['name']} against {other['name']}", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print()
    print_whole(console, table)


def _heading(one: dict[str, Any]) -> str:
    return one["name"] if one["n"] == 1 else f"{one['name']}, {one['n']} files"


def _cell(one: dict[str, Any], names: str | tuple[str, ...], form: str) -> str:
    names = (names,) if isinstance(names, str) else names
    values = ", ".join(format(one["mean"][name], form) for name in names)
    spread = f" ± {format(one['std'][names[0]], form)}" if one["n"] > 1 and len(names) == 1 else ""
    return values + spread


def _coverage(one: dict[str, Any]) -> str:
    note = "" if one["comparable"] else "  NOT COMPARABLE: below 99.9 %"
    return f"{one['mean']['coverage']:.4f}{note}"


def _ratio(found: dict[str, Any]) -> str:
    if found["ratio"] is None:
        return "undefined: the other's is zero"
    limits = "" if found["lo"] is None else f" [{found['lo']:.3f}, {found['hi']:.3f}]"
    caution = "" if found["denominator_clear"] else "; the other's is not clear of 0, read the difference"
    return f"{found['ratio']:.3f}{limits}{caution}"


def _when(panel: dict[str, Any], name: str) -> str:
    at = datetime.fromtimestamp(panel[name] / 1e9, UTC)
    return at.date().isoformat() if panel["bar_ns"] >= DAY_NS else at.strftime("%Y-%m-%dT%H:%M:%SZ")
