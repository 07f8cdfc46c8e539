"""Waiting for a fraction of a millisecond in an event loop.

An event loop's own timers wake at whole milliseconds, rounded up: `asyncio.sleep(0.0001)` takes one. On Linux the
kernel's timer of a file descriptor wakes the loop as a socket would.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import weakref
from functools import lru_cache
from typing import Final

_MONOTONIC: Final = 1  # CLOCK_MONOTONIC
_NANOS_PER_SECOND: Final = 1_000_000_000


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class FineTimer:
    """Sleeps of some 0.1 ms and more, one at a time; elsewhere than on Linux as coarse as `asyncio.sleep`."""

    def __init__(self) -> None:
        self._file = _open_timer()
        if self._file is not None:
            weakref.finalize(self, os.close, self._file)

    async def sleep(self, seconds: float) -> None:
        """Wait for so long; 0 lets others run."""
        if self._file is None or seconds <= 0:
            await asyncio.sleep(max(seconds, 0.0))
            return
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._file, _wake, woken)
        try:
            _set_timer(self._file, seconds)
            await woken
        finally:
            loop.remove_reader(self._file)


class FineTimers:
    """Sleeps like those of `FineTimer`, any number at a time."""

    def __init__(self) -> None:
        self._idle: list[FineTimer] = []

    async def sleep(self, seconds: float) -> None:
        """Wait for so long; 0 lets others run."""
        timer = self._idle.pop() if self._idle else FineTimer()
        try:
            await timer.sleep(seconds)
        finally:
            self._idle.append(timer)


def _wake(woken: asyncio.Future[None]) -> None:
    # A timer that is set again is not ready any more, so what it counts need not be read.
    if not woken.done():
        woken.set_result(None)


def _open_timer() -> int | None:
    if sys.platform != "linux":
        return None
    file: int = _libc().timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if file < 0:
        raise OSError(ctypes.get_errno(), f"cannot make a timer: {os.strerror(ctypes.get_errno())}")
    return file


def _set_timer(file: int, seconds: float) -> None:
    # 0 would stop it.
    whole, rest = divmod(max(round(seconds * _NANOS_PER_SECOND), 1), _NANOS_PER_SECOND)
    spec = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(whole, rest))
    if _libc().timerfd_settime(file, 0, ctypes.byref(spec), None) < 0:
        raise OSError(ctypes.get_errno(), f"cannot set a timer: {os.strerror(ctypes.get_errno())}")


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    # Each one makes classes of its own, which only a garbage collection removes.
    return ctypes.CDLL(None, use_errno=True)
