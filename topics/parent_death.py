"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

# Asks the kernel for a signal when the parent ends, which outlives exec, then becomes the command. Not a
# `preexec_fn`: that forks a process which may hold threads.
_LAUNCHER: Final = """
import ctypes, os, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(sys.argv[2]))
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[3], sys.argv[3:])
"""


def dying_with_parent(command: Sequence[str], end_signal: signal.Signals) -> list[str]:
    """Return the command line that runs `command` and ends it when the thread that starts it does.

    Unchanged where the system is not Linux, which alone can do that.

    Parameters
    ----------
    command
        Path of a program, and its arguments.
    end_signal
        What it gets then.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER]
    return [*launcher, str(os.getpid()), str(int(end_signal)), *command]
