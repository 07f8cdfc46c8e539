"""Ctrl-C and SIGTERM end a command in order, and always."""

from __future__ import annotations

import asyncio
import signal

import pyarrow


def stop_event() -> asyncio.Event:
    """Return an event of the running loop that Ctrl-C or SIGTERM sets; a second Ctrl-C ends at once.

    An event rather than the cancellation that asyncio offers: aiokafka loses one now and then.
    """
    # Arrow takes signals for itself while it reads a block of CSV, and does not always hand them on.
    pyarrow.enable_signal_handlers(False)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end_in_order() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end_in_order)
    return stop
