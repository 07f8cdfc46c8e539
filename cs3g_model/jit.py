"""How kernels are compiled: left folds in a fixed order, so that no cut of a sequence changes a bit.

`fastmath` stays off and nothing runs in parallel: a sum is added in the order in which it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function with numba, lazily and cached on disk; its Python signature stays for type checkers.

    Division by zero follows IEEE 754 (no exception), so kernels guard their own denominators.
    """
    return cast(Function, numba.njit(cache=True, fastmath=False, error_model="numpy")(function))
