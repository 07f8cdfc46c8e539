"""Where the student's kernel finds a size, or the place of an array, in the one array of integers that it takes.

`at[places.WIDTH]` is a size, `at[places.INWARD]` a place in the flat parameters and `at[places.LIVE]` one in
the flat scratch memory. `student_plan` fills them in.
"""

from __future__ import annotations

from typing import Final

# Sizes.
FEATURES: Final = 0
LEVELS: Final = 1
WIDTH: Final = 2
WIDE: Final = 3  # the width, rounded up to whole vectors
STATES: Final = 4
RANK: Final = 5
RANK_TILES: Final = 6  # the rank, rounded up to the sums that are made at once
EDGES: Final = 7
PART_ROWS: Final = 8  # rows of a block's parts: y, and behind it queries or their mix
FACTOR_ROWS: Final = 9
HAS_GRAPH: Final = 10
N_SECTORS: Final = 11
HAS_ROWS: Final = 12  # whether messages of sectors or edges are read
# Places of parameters.
THRESHOLD: Final = 13
INWARD: Final = 14
INWARD_BIAS: Final = 15
INWARD_SCALE: Final = 16
SELECT: Final = 17  # delta, B and C: what selects what the state keeps
SELECT_BIAS: Final = 18
SELECT_SCALE: Final = 19
RATE: Final = 20
RATE_INVERSE: Final = 21
SKIP: Final = 22
FACTORS: Final = 23  # queries and keys
FACTORS_SCALE: Final = 24
EDGE_THRESHOLD: Final = 25
EDGE_MASS: Final = 26
HIDDEN: Final = 27  # of y
HIDDEN_MIX: Final = 28  # of the low-rank mix: as `pack_matrix`, or input by output where it is not rounded
HIDDEN_ROWS: Final = 29  # of sector and edges, input by output
HIDDEN_BIAS: Final = 30
HIDDEN_SCALE: Final = 31
OUTWARD: Final = 32
OUTWARD_BIAS: Final = 33
OUTWARD_SCALE: Final = 34
NO_BIAS: Final = 35
# Places of the rounding rules, -1 where an input is not rounded.
ROUND_BANDS: Final = 36
ROUND_U: Final = 37
ROUND_Y: Final = 38
ROUND_LANES: Final = 39  # y and its low-rank mix
ROUND_ROWS: Final = 40  # messages of sector and edges
ROUND_Z: Final = 41
# Places in the scratch memory.
LIVE: Final = 42  # 1 where present; the element before is 0, for neighbor -1
ROWS: Final = 43  # y by instrument, then centered; the row before is 0, for neighbor -1
PARTS: Final = 44  # by block: y, then what the low-rank mix is made of
FACTOR_LANES: Final = 45  # by block: queries, keys
MEAN: Final = 46
SECTOR_TOTAL: Final = 47  # rows of sectors, those of unknown sector first
SECTOR_COUNT: Final = 48
SECTOR_HIDDEN: Final = 49
TOTAL: Final = 50  # (RANK_TILES, WIDE) keys times rows
KEY_SUM: Final = 51
MIXING: Final = 52  # as `pack_matrix`: from queries to the mix, where that is rounded
HIDDEN_LANES: Final = 53  # as `pack_matrix`: from a block's parts to the hidden layer
BANDS: Final = 54
U: Final = 55
CHANGE: Final = 56
SELECTED: Final = 57
HIDDEN_BLOCK: Final = 58
HIDDEN_BLOCK_ROWS: Final = 59
MESSAGES: Final = 60
SQUARE: Final = 61
ROUNDED: Final = 62
MIX_QUERIES: Final = 63
SCORE: Final = 64
SLOTS: Final = 65
N_PLACES: Final = 66
