"""A small drawing board: axes, lines, bands, points and bars as inline SVG, colored by the page's style sheet.

The classes s0, s1, ... are the colors of the series, c the control's; the page defines them for light and dark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from topics.types import Float64Array

__all__ = ["Chart", "Scale", "decade_ticks", "escape", "nice_ticks", "padded", "sampled"]

MAX_POINTS: Final = 600
"""Of a line; more cannot be told apart at the chart's width."""

MAX_HOVERS: Final = 200


def escape(text: str) -> str:
    """Return text as it stands in HTML."""
    return html.escape(text)


@dataclass(frozen=True, slots=True)
class Scale:
    """From values in [lo, hi] to pixels in [start, stop]."""

    lo: float
    hi: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        lo, hi, v = self.lo, self.hi, value
        if self.log:
            lo, hi, v = math.log10(lo), math.log10(hi), math.log10(max(value, 1e-300))
        return self.start + (v - lo) / ((hi - lo) or 1.0) * (self.stop - self.start)


@dataclass(slots=True)
class Chart:
    """One chart; mutates self. Sizes in units of the view box, about a pixel each.

    Attributes
    ----------
    x_range, y_range
        Lowest and highest value on either axis.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: int = 940
    height: int = 250
    left: int = 58
    right: int = 14
    top: int = 10
    bottom: int = 26
    log_x: bool = False
    _parts: list[str] = field(default_factory=list)

    @property
    def x(self) -> Scale:
        """Of the horizontal axis."""
        return Scale(*self.x_range, self.left, self.width - self.right, self.log_x)

    @property
    def y(self) -> Scale:
        """Of the vertical axis, which grows upwards."""
        return Scale(*self.y_range, self.height - self.bottom, self.top)

    def add(self, part: str) -> None:
        """Add drawn SVG."""
        self._parts.append(part)

    def grid_y(self, ticks: Iterable[float], text: Callable[[float], str]) -> None:
        """Draw horizontal lines with their values; the one at zero is stronger."""
        for tick in ticks:
            at = self.y(tick)
            kind = "zero" if abs(tick) < 1e-12 else "grid"
            self.add(f'<path class="{kind}" d="M{self.left} {at:.1f}H{self.width - self.right}"/>')
            self.text(self.left - 6, at + 4, text(tick), anchor="end")

    def grid_x(self, ticks: Iterable[tuple[float, str]], *, lines: bool = False) -> None:
        """Write values under the axis, and draw vertical lines if asked."""
        for tick, label in ticks:
            at = self.x(tick)
            if lines:
                kind = "zero" if abs(tick) < 1e-12 and not self.log_x else "grid"
                self.add(f'<path class="{kind}" d="M{at:.1f} {self.top}V{self.height - self.bottom}"/>')
            # Labels at the rim grow inwards, so that nothing is cut off.
            near = 30
            anchor = "start" if at - self.left < near and not lines else "middle"
            anchor = "end" if self.width - self.right - at < near else anchor
            self.text(at, self.height - self.bottom + 16, label, anchor=anchor)

    def text(self, x: float, y: float, text: str, *, anchor: str = "start", kind: str = "tick") -> None:
        """Write text."""
        self.add(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')

    def line(self, xs: Float64Array, ys: Float64Array, kind: str) -> None:
        """Draw a line, broken where a value is missing."""
        commands, down = [], False
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            if math.isfinite(y):
                commands.append(f"{'L' if down else 'M'}{self.x(x):.1f} {self.y(y):.1f}")
            down = math.isfinite(y)
        self.add(f'<path class="line {kind}" d="{"".join(commands)}"/>')

    def band(self, xs: Float64Array, low: Float64Array, high: Float64Array, kind: str) -> None:
        """Fill what lies between two lines."""
        here = np.isfinite(low) & np.isfinite(high)
        if here.sum() < 2:
            return
        there = [f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in zip(xs[here], high[here], strict=True)]
        back = [
            f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in zip(xs[here][::-1], low[here][::-1], strict=True)
        ]
        self.add(f'<path class="band {kind}" d="M{"L".join(there + back)}Z"/>')

    def interval(
        self, at: float, value: float, low: float, high: float, kind: str, title: str, *, flat: bool = False
    ) -> None:
        """Draw a point with its limits: upright at x = `at`, or `flat` at the pixel row `at`."""
        if flat:
            x, y = self.x(value), at
            whisker = f"M{self.x(low):.1f} {y:.1f}H{self.x(high):.1f}"
        else:
            x, y = at, self.y(value)
            whisker = f"M{x:.1f} {self.y(low):.1f}V{self.y(high):.1f}"
        self.add(
            f'<g class="{kind}"><title>{escape(title)}</title><path class="whisker" d="{whisker}"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6"/></g>'
        )

    def hover(self, xs: Sequence[float], titles: Sequence[str]) -> None:
        """Lay columns over the chart that tell their values when pointed at."""
        if len(xs) < 2:
            return
        step = (self.x(xs[-1]) - self.x(xs[0])) / (len(xs) - 1)
        for x, title in zip(xs, titles, strict=True):
            self.add(
                f'<rect class="hover" x="{self.x(x) - step / 2:.1f}" y="{self.top}" width="{step:.2f}"'
                f' height="{self.height - self.top - self.bottom}"><title>{escape(title)}</title></rect>'
            )

    def render(self, label: str) -> str:
        """Return the chart; the label is for those who cannot see it."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(label)}">'
            f"{''.join(self._parts)}</svg>"
        )


def nice_ticks(lo: float, hi: float, n: int = 5) -> list[float]:
    """Return about n round values in [lo, hi], ascending.

    Examples
    --------
    >>> nice_ticks(-0.04, 0.16)
    [-0.04, 0.0, 0.04, 0.08, 0.12, 0.16]
    """
    span = hi - lo
    if not span > 0 or not math.isfinite(span):
        return [lo]
    raw = span / n
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 2.5, 4, 5, 10)), key=lambda s: abs(s - raw))
    first = math.ceil(lo / step - 1e-9)
    last = math.floor(hi / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def decade_ticks(lo: float, hi: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten in [lo, hi]; only the powers where there are many."""
    powers = range(math.floor(math.log10(lo)), math.ceil(math.log10(hi)) + 1)
    many = len(powers) > 4
    found = [m * 10.0**p for p in powers for m in ((1,) if many else (1, 2, 5))]
    return [value for value in found if lo <= value <= hi]


def padded(*series: Float64Array, zero: bool = True, share: float = 0.06) -> tuple[float, float]:
    """Return lowest and highest finite value of several series, zero included if asked, and a little room."""
    finite = np.concatenate([one[np.isfinite(one)] for one in series])
    if zero:
        finite = np.append(finite, 0.0)
    if not len(finite):
        return 0.0, 1.0
    lo, hi = float(finite.min()), float(finite.max())
    room = (hi - lo) * share or abs(hi) * share or 1.0
    return lo - room, hi + room


def sampled(n: int, most: int = MAX_POINTS) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return at most so many positions of n, evenly spread, first and last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
