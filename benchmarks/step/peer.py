"""A peer's process, driven from here so that its steps are timed in turn with ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, TextIO, cast

import numpy as np
from numpy.typing import NDArray

_SCRIPT: Final = Path(__file__).parent / "peers" / "serve.py"


class PeerMissingError(RuntimeError):
    """The peer cannot be had on this machine."""


class Peer:
    """One peer on one N, single-threaded.

    Parameters
    ----------
    python
        Interpreter that has the peer.
    name
        "onnxruntime" or "torch.compile".
    weights, run
        Files as `peers/serve.py` reads them.
    steps
        Steps of one measurement.

    Raises
    ------
    PeerMissingError
        If it cannot be had; the text says why.
    """

    def __init__(self, python: Path, name: str, weights: Path, run: Path, steps: int) -> None:
        log_path = weights.with_name(f"{name}.log")
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), str(_SCRIPT), name, str(weights), str(run), str(steps)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            )
        try:
            first = self._line()
        except ValueError as error:
            self._end()
            last = log_path.read_text(errors="replace").strip().rpartition("\n")[2]
            raise PeerMissingError(f"{name} ended before its first answer: {last}") from error
        if not isinstance(first, dict) or "missing" in first:
            self._end()
            raise PeerMissingError(f"{name}: {first}")
        self.scores: NDArray[np.float32] = np.array(first["scores"], np.float32)

    def median_us(self) -> float:
        """Time steps once more."""
        stdin = cast(TextIO, self._process.stdin)
        stdin.write("\n")
        stdin.flush()
        return float(cast(float, self._line()))

    def _line(self) -> object:
        for line in cast(TextIO, self._process.stdout):
            if line.startswith(("{", *"0123456789")):  # libraries greet on the same stream
                return json.loads(line)
        raise ValueError("no answer")

    def _end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
