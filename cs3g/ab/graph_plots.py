"""A learned graph as pictures: who listens to whom around a circle, and which sectors prefer which."""

from __future__ import annotations

import math
from typing import Any, Final

from cs3g.ab.svg import escape

__all__ = ["heat_map", "node_link"]

MOST_EDGES: Final = 40
_SIZE: Final = 460
_RADIUS: Final = 158


def node_link(graph: dict[str, Any], name: str) -> str:
    """Draw a model's strongest edges, instruments around a circle by sector; an edge points at who listens.

    Parameters
    ----------
    graph
        As of `graph_values`.
    name
        The model.
    """
    edges = graph["models"][name]["edges"][:MOST_EDGES]
    sector_of = graph["sector_of"]
    ends = sorted(
        {edge[end] for edge in edges for end in ("from", "to")}, key=lambda s: (sector_of.get(s, "~"), s)
    )
    middle = _SIZE / 2
    angle = {
        symbol: 2 * math.pi * place / max(len(ends), 1) - math.pi / 2 for place, symbol in enumerate(ends)
    }
    at = {
        symbol: (middle + _RADIUS * math.cos(a), middle + _RADIUS * math.sin(a))
        for symbol, a in angle.items()
    }
    strongest = max((edge["weight"] for edge in edges), default=1.0) or 1.0
    parts = []
    for edge in reversed(edges):
        (x1, y1), (x2, y2) = at[edge["from"]], at[edge["to"]]
        share = edge["weight"] / strongest
        # Bent towards the middle, so that neighbors on the circle do not lie on it.
        cx, cy = (x1 + x2) / 2 * 0.45 + middle * 0.55, (y1 + y2) / 2 * 0.45 + middle * 0.55
        parts.append(
            f'<path class="edge" d="M{x1:.1f} {y1:.1f}Q{cx:.1f} {cy:.1f} {x2:.1f} {y2:.1f}"'
            f' stroke-width="{0.6 + 2.6 * share:.2f}" opacity="{0.25 + 0.65 * share:.2f}" marker-end="url(#tip)">'
            f"<title>{escape(edge['to'])} listens to {escape(edge['from'])}: {edge['weight']:.4f}</title></path>"
        )
    sectors = sorted({sector_of.get(symbol, "") for symbol in ends})
    for symbol, (x, y) in at.items():
        turn = math.degrees(angle[symbol])
        flip = 90 < turn % 360 < 270
        where = f"translate({x:.1f} {y:.1f}) rotate({turn + (180 if flip else 0):.1f})"
        offset, anchor = (-9, "end") if flip else (9, "start")
        sector = sector_of.get(symbol, "")
        color = f"k{sectors.index(sector) % 8}"
        parts.append(
            f'<g transform="{where}"><title>{escape(symbol)}{f", {escape(sector)}" if sector else ""}</title>'
            f'<circle class="node {color}" r="4"/>'
            f'<text class="tick" x="{offset}" y="3.5" text-anchor="{anchor}">{escape(symbol)}</text></g>'
        )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="10" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
        '<path class="tip" d="M0 0L8 4L0 8Z"/></marker></defs>'
    )
    label = f"strongest edges of {name}"
    return f'<svg viewBox="0 0 {_SIZE} {_SIZE}" role="img" aria-label="{escape(label)}">{tip}{"".join(parts)}</svg>'


def heat_map(graph: dict[str, Any], name: str) -> str:
    """Draw how much each sector (row) prefers each other one (column): 1 is no preference, on a log scale of color."""
    names, lift = graph["sector_names"], graph["models"][name]["sector_lift"]
    cell, left, top = 30, 184, 132
    width, height = left + cell * len(names) + 110, top + cell * len(names) + 8
    parts = []
    for i, row in enumerate(lift):
        y = top + i * cell
        parts.append(
            f'<text class="row" x="{left - 8}" y="{y + cell / 2 + 4}" text-anchor="end">{escape(_cut(names[i]))}</text>'
        )
        turned = f"translate({left + i * cell + cell / 2 + 4:.1f} {top - 8}) rotate(-48)"
        parts.append(f'<text class="row" transform="{turned}">{escape(_cut(names[i], 18))}</text>')
        for j, value in enumerate(row):
            strength = max(-1.0, min(1.0, math.log2(max(value, 1e-3)) / 3))
            kind = "more" if strength >= 0 else "less"
            text = f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
            bright = " on" if abs(strength) > 0.55 else ""
            parts.append(
                f"<g><title>{escape(names[i])} to {escape(names[j])}: {value:.2f}</title>"
                f'<rect class="cell" x="{left + j * cell}" y="{y}" width="{cell - 1}" height="{cell - 1}"/>'
                f'<rect class="{kind}" x="{left + j * cell}" y="{y}" width="{cell - 1}" height="{cell - 1}"'
                f' opacity="{abs(strength):.2f}"/>'
                f'<text class="value{bright}" x="{left + j * cell + cell / 2 - 0.5}" y="{y + cell / 2 + 3.5}"'
                f' text-anchor="middle">{text}</text></g>'
            )
    label = f"which sectors {name} lets listen to which"
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _cut(text: str, most: int = 24) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
