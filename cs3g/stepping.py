"""Somebody at the keyboard who leads a replay: Enter for the next step, Ctrl-D for the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from pipeline.durations import format_duration
from replay.report import event_time_text

_READ_BYTES = 4096


class StepKeys:
    """Asks for every step until the input ends. Mutates self.

    Parameters
    ----------
    step_ns
        Length of a step.
    fd
        Where lines come from; read without Python's buffer, so that a wait can be left.
    say
        Takes the question.
    stop
        Set at the input's end; once it is set, nothing is asked any more.
    """

    def __init__(self, step_ns: int, fd: int, say: Callable[[str], None], stop: asyncio.Event) -> None:
        self._step = format_duration(step_ns)
        self._fd = fd
        self._say = say
        self._stop = stop
        self._typed = b""

    async def ask(self, until_ns: int) -> bool:
        """Return True at the next line, False once the replay is to stop."""
        if self._stop.is_set():
            return False
        self._say(f"up to {event_time_text(until_ns)} UTC: Enter for the next {self._step}, Ctrl-D to stop")
        while b"\n" not in self._typed:
            if not await self._readable():
                return False
            more = os.read(self._fd, _READ_BYTES)
            if not more:
                self._stop.set()
                return False
            self._typed += more
        self._typed = self._typed.partition(b"\n")[2]
        return True

    async def _readable(self) -> bool:
        """Wait for input or the stop; return whether it is input."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        try:
            loop.add_reader(self._fd, ready.set)
        except PermissionError:  # a file, which never keeps anybody waiting
            return True
        waits = {asyncio.create_task(ready.wait()), asyncio.create_task(self._stop.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._fd)
            for wait in waits:
                wait.cancel()
        return not self._stop.is_set()
