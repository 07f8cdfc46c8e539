"""`python -m cs3g.jobs.process FOLDER`: one job in a process of its own; progress as JSON lines on stdout.

The folder's `answer.json` says how it ended. Without one, the process has crashed.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["WATCHED", "end_with_parent", "main"]

WATCHED: Final = "CS3G_JOB_WATCHED"
"""Set in the environment: end when standard input does, that is when the worker that started this is gone."""

REFUSED_STATUS: Final = 3
"""Exit status of a job that cannot be done; `answer.json` says why."""


def main(folder: Path) -> int:
    """Do the job of a folder; returns the exit status."""
    if os.environ.get(WATCHED) == "1":
        threading.Thread(target=end_with_parent, daemon=True).start()
    from cs3g.errors import CommandError
    from cs3g.jobs.spec import JobAnswer, JobEvent
    from cs3g.jobs.spool import Spool
    from cs3g.jobs.training import do_job
    from cs3g_model.errors import ModelError
    from cs3g_model.training.ranks import joined
    from pipeline.errors import PipelineError

    spool = Spool(folder)

    def tell(progress: float, detail: str) -> None:
        line = msgspec.json.encode(JobEvent(progress=round(progress, 4), detail=detail)) + b"\n"
        os.write(1, line)  # whole lines, also where several processes share the pipe

    with joined(cuda=False) as ranks:
        try:
            answer = do_job(spool, tell if ranks.rank == 0 else _ignore, ranks)
        except (CommandError, ModelError, PipelineError, OSError) as error:
            if ranks.rank == 0:
                spool.write_answer(JobAnswer(error=f"{type(error).__name__}: {error}"))
            return REFUSED_STATUS
        if answer is not None:
            spool.write_answer(answer)
    return 0


def _ignore(progress: float, detail: str) -> None: ...


def end_with_parent() -> None:
    """Wait for the end of standard input, then end the process at once."""
    # os.read, not sys.stdin: a thread that waits in a buffered reader breaks the interpreter's own end.
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m cs3g.jobs.process FOLDER")
    sys.exit(main(Path(sys.argv[1])))
