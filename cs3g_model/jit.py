"""How kernels are compiled: left folds in a fixed order, so that no cut of a sequence changes a bit.

`fastmath` stays off and nothing runs in parallel: a sum is added in the order in which it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar, cast, overload

import numba
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., object])


@overload
def kernel(function: Function) -> Function: ...
@overload
def kernel(*, part: bool = ..., inline: bool = ...) -> Callable[[Function], Function]: ...


def kernel(
    function: Function | None = None, *, part: bool = False, inline: bool = False
) -> Function | Callable[[Function], Function]:
    """Compile a function with numba, lazily and cached on disk; its Python signature stays for type checkers.

    It runs without the interpreter's lock, so that other threads go on meanwhile.
    Division by zero follows IEEE 754 (no exception), so kernels guard their own denominators.

    Parameters
    ----------
    function
        The function.
    part
        For a function that kernels alone call: its code is compiled and cached with theirs, not by itself as
        well.
    inline
        A part that its callers must contain, as is best for what takes `lanes`.
    """
    if function is None:
        return lambda f: _compiled(f, part=part or inline, inline=inline)
    return _compiled(function, part=part or inline, inline=inline)


def _compiled(function: Function, *, part: bool, inline: bool) -> Function:
    if part:
        options: dict[str, Any] = {
            "no_cpython_wrapper": True,
            "no_cfunc_wrapper": True,
            "forceinline": inline,
        }
        return cast(Function, numba.njit(fastmath=False, error_model="numpy", **options)(function))
    dispatcher: Any = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function)
    _watch_helpers(dispatcher)
    return cast(Function, dispatcher)


def _watch_helpers(dispatcher: Any) -> None:
    """Make the cache stale when a file of a function that this one calls changes, not its own file alone.

    Helpers are compiled into their caller, but numba compares only the caller's file with the cache.
    """
    cache: Any = getattr(dispatcher, "_cache", None)
    if not isinstance(cache, FunctionCache):
        return
    # This file as well: it says how all are compiled.
    files = sorted({Path(__file__), *_files_of(dispatcher.py_func, set())})
    stats = [file.stat() for file in files if file.is_file()]
    index: Any = cache._cache_file
    index._source_stamp = (index._source_stamp, tuple((s.st_mtime, s.st_size) for s in stats))


def _package(function: FunctionType) -> str:
    return function.__module__.partition(".")[0] + "."


def _files_of(function: FunctionType, seen: set[CodeType]) -> set[Path]:
    """Files of the compiled functions that a function calls, and of those that these call."""
    files = {Path(function.__code__.co_filename)}
    if function.__code__ in seen:
        return files
    seen.add(function.__code__)
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        inner = getattr(value, "py_func", getattr(value, "_defn", None))  # of a dispatcher, of an intrinsic
        if isinstance(inner, FunctionType):
            files |= _files_of(inner, seen)
        elif isinstance(value, ModuleType) and value.__name__.startswith(_package(function)):
            files.add(Path(str(value.__file__)))  # whose constants are read
    return files
