"""Times the peers' steps when told to, so that ours can be timed in between; runs among `benchmarks.peers`.

    python serve.py PEER WEIGHTS.npz RUN.npz STEPS

RUN.npz holds the features (T, N, F) of a run. The first line out is JSON with the run's scores, or why the
peer cannot be had here; then each line in makes one line out: the median microseconds of STEPS steps.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from plain_step import PlainStep

Array = npt.NDArray[np.float32]
Step = Callable[..., tuple[Array, ...]]


def main() -> None:
    """Answer until the input ends."""
    peer, weights, run, steps = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    torch.set_num_threads(1)
    with np.load(run) as arrays:
        features = arrays["features"]
    model = PlainStep(weights).eval()
    N, F = features.shape[1:]
    zeros = np.zeros((N, F), np.float32), np.zeros((N, *model.A.shape), np.float32)
    try:
        with torch.inference_mode():
            step, bare = {"onnxruntime": onnxruntime_step, "torch.compile": compiled_step}[peer](
                model, features[0], *zeros
            )
            scores, state = [], zeros
            for x in features:
                score, *state = step(x, *state)
                scores.append(np.asarray(score).tolist())
            print(json.dumps({"scores": scores}), flush=True)
            for _ in sys.stdin:
                print(json.dumps(median_us(bare, steps)), flush=True)
    except Exception as error:
        print(json.dumps({"missing": f"{type(error).__name__}: {error}"[:300]}), flush=True)


def median_us(step: Callable[[], object], steps: int) -> float:
    """Return the median microseconds of a call."""
    for _ in range(max(steps // 10, 3)):
        step()
    taken = []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken)) * 1e6


def compiled_step(model: PlainStep, *example: Array) -> tuple[Step, Callable[[], object]]:
    """`torch.compile` for these shapes."""
    compiled = torch.compile(model, dynamic=False)
    tensors = [torch.from_numpy(a.copy()) for a in example]

    def step(*arrays: Array) -> tuple[Array, ...]:
        return tuple(t.numpy() for t in compiled(*(torch.from_numpy(a) for a in arrays)))

    return step, lambda: compiled(*tensors)


def onnxruntime_step(model: PlainStep, *example: Array) -> tuple[Step, Callable[[], object]]:
    """ONNX Runtime on one thread, all its optimizations on."""
    import onnxruntime

    names = ["x", "past", "h"]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "step.onnx")
        tensors = tuple(torch.from_numpy(a.copy()) for a in example)
        torch.onnx.export(
            model, tensors, path, input_names=names, output_names=["score", "x2", "h2"], dynamo=False
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def step(*arrays: Array) -> tuple[Array, ...]:
        return tuple(session.run(None, dict(zip(names, arrays, strict=True))))

    fixed = {name: array.copy() for name, array in zip(names, example, strict=True)}
    return step, lambda: session.run(None, fixed)


if __name__ == "__main__":
    main()
