"""Numbers that the torch modules and the numba kernel share; imports neither."""

from __future__ import annotations

from typing import Final

EPSILON: Final = 1e-6
"""Added to the denominators of means over instruments."""

SECTOR: Final = "sector"
"""The relation that is a code for each instrument; every other one is a list of edges."""

RELATION_SCALE: Final = 8.0
"""What a relation's threshold and mass are stored in."""

SMALL_GAIN: Final = 0.1
"""Where learned gains start.

Daily returns are nearly all noise. What an instrument did in this window predicts best, so the other
channels, its memory, its single wavelet bands and the messages of others, enter through learned gains that
start small: they are learned after it, and with a smaller effect of the optimizer's steps.
"""
