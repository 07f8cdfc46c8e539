"""The page's style sheet: light and dark by the reader's setting, and on paper."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root { color-scheme: light dark; --bg: #fff; --ink: #1b1f26; --muted: #5a6472; --grid: #e4e7eb; --zero: #aab2bd;
  --card: #f6f7f9; --s0: #1f62b0; --s1: #c8551f; --s2: #2d8653; --s3: #8448a5; --s4: #9a7400; --s5: #17858a;
  --c: #848c97; --more: #1f62b0; --less: #c8551f; --on: #fff; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171c; --ink: #e7e9ec; --muted: #9da6b2; --grid: #2a3038;
  --zero: #5b6470; --card: #1c2027; --s0: #74aefc; --s1: #ff9b6b; --s2: #6fcf97; --s3: #cf9bf0; --s4: #e3bf4d;
  --s5: #5fd0d4; --c: #8b95a2; --more: #4a8be0; --less: #d9703c; --on: #fff; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink); background: var(--bg);
  max-width: 66rem; margin: 2rem auto 4rem; padding: 0 1.25rem; }
h1 { font-size: 1.55rem; margin: 0 0 .6rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .2rem; }
h3 { font-size: .95rem; margin: .8rem 0 .1rem; font-weight: 600; }
p.verdict { font-size: 1.08rem; background: var(--card); border-left: 4px solid var(--s0); padding: .7rem 1rem;
  margin: 0 0 1rem; }
p.read { color: var(--muted); margin: 0 0 .5rem; max-width: 52rem; font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; }
th, td { padding: .25rem .55rem; text-align: right; white-space: nowrap; }
th { color: var(--muted); font-weight: 600; vertical-align: bottom; white-space: normal; max-width: 9rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } tr + tr { border-top: 1px solid var(--grid); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 0 2rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem; margin: .2rem 0; }
.legend span::before { content: ""; display: inline-block; width: 1.6rem; height: 3px; background: var(--own, var(--c));
  margin-right: .45rem; vertical-align: middle; }
.legend .s1::before { background: repeating-linear-gradient(90deg, var(--s1) 0 7px, transparent 7px 10px); }
.legend .thin::before { height: 1px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; font-size: .88rem; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; } svg.small { max-width: 30rem; }
svg text { font: 11px system-ui, sans-serif; fill: var(--muted); } svg text.row { fill: var(--ink); font-size: 12px; }
svg text.note { font-size: 9.5px; } svg text.value { font-size: 10.5px; fill: var(--ink); }
svg text.value.on { fill: var(--on); }
.grid { stroke: var(--grid); stroke-width: 1; fill: none; } .zero { stroke: var(--zero); fill: none; }
.line { fill: none; stroke-width: 1.9; stroke-linejoin: round; } .line.thin { stroke-width: .9; opacity: .75; }
.line.strong { stroke: var(--ink); } .line.faint { stroke: var(--c); stroke-width: .7; opacity: .7; }
.line.c { stroke: var(--c); } .band { opacity: .17; stroke: none; } .band.strong { fill: var(--ink); }
.s0 { --own: var(--s0); } .s1 { --own: var(--s1); } .s2 { --own: var(--s2); } .s3 { --own: var(--s3); }
.s4 { --own: var(--s4); } .s5 { --own: var(--s5); }
.line.s0, .line.s1, .line.s2, .line.s3, .line.s4, .line.s5 { stroke: var(--own); } .line.s1 { stroke-dasharray: 6 3; }
.band.s0, .band.s1, .band.s2, .band.s3, .band.s4, .band.s5, rect.bar { fill: var(--own); }
circle { fill: var(--own); } .whisker { stroke: var(--own); stroke-width: 1.6; fill: none; }
.hover { fill: transparent; } .hover:hover { fill: var(--ink); opacity: .09; }
.edge { fill: none; stroke: var(--s0); } .tip { fill: var(--s0); }
.node.k0 { fill: var(--s0); } .node.k1 { fill: var(--s1); } .node.k2 { fill: var(--s2); } .node.k3 { fill: var(--s3); }
.node.k4 { fill: var(--s4); } .node.k5 { fill: var(--s5); } .node.k6 { fill: var(--c); } .node.k7 { fill: var(--ink); }
.cell { fill: var(--card); } .more { fill: var(--more); } .less { fill: var(--less); }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } svg { break-inside: avoid; } }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } .columns { grid-template-columns: 1fr; } }
"""
