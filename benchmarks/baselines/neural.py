"""How the networks are trained: Adam, one window a step, the best of the validation checks kept."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.baselines.networks import Lstm, SectorGat, StockMixer, count_parameters
from benchmarks.baselines.panel import BoolArray, FloatArray, Int64Array
from benchmarks.baselines.study import Fitted, Study

_RATE: Final = 1e-3
_DECAY: Final = 1e-5
_NORM: Final = 5.0
_PATIENCE: Final = 6
_MOST_EPOCHS: Final = 100
_PAIRS: Final = 0.1

Loss = Callable[[Tensor, Tensor], Tensor]


def lstm(study: Study, seed: int, cap_s: float) -> Fitted:
    """Train an LSTM-64 on z-scored labels by mean squared error."""
    return _fit(study, Lstm, seed, cap_s, _squared, decay=_DECAY)


def gat(study: Study, seed: int, cap_s: float) -> Fitted:
    """Train an LSTM-64 with graph attention over sector cliques, likewise."""
    return _fit(study, lambda: SectorGat(study.panel.sector), seed, cap_s, _squared, decay=_DECAY)


def stockmixer(study: Study, seed: int, cap_s: float) -> Fitted:
    """Train StockMixer on returns by its own loss: mean squared error + 0.1 pairwise hinge."""
    return _fit(
        study, lambda: StockMixer(study.shape[1]), seed, cap_s, _squared_and_pairs, decay=0.0, raw_labels=True
    )


def _squared(scores: Tensor, target: Tensor) -> Tensor:
    return nn.functional.mse_loss(scores, target)


def _squared_and_pairs(scores: Tensor, target: Tensor) -> Tensor:
    wrong = (scores[:, None] - scores[None]) * (target[None] - target[:, None])
    return nn.functional.mse_loss(scores, target) + _PAIRS * torch.relu(wrong).mean()


def _fit(
    study: Study,
    build: Callable[[], nn.Module],
    seed: int,
    cap_s: float,
    loss: Loss,
    *,
    decay: float,
    raw_labels: bool = False,
) -> Fitted:
    """Train until validation stops improving, or the time is over; then results depend on the machine."""
    started = time.process_time()
    torch.manual_seed(seed)
    order = np.random.default_rng(seed)
    module = build()
    optimizer = torch.optim.Adam(module.parameters(), lr=_RATE, weight_decay=decay)
    best, kept, waited, steps, is_over = -np.inf, copy.deepcopy(module.state_dict()), 0, 0, False
    half = max(1, len(study.train) // 2)
    for _ in range(_MOST_EPOCHS):
        for t in order.permutation(study.train):
            scored, target = _labels(study, int(t), raw_labels)
            scores = module(*_tensors(study, int(t)))[torch.from_numpy(scored)]
            optimizer.zero_grad()
            loss(scores, torch.from_numpy(target)).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), _NORM)
            optimizer.step()
            steps += 1
            is_over = time.process_time() - started > cap_s
            if steps % half == 0 or is_over:
                quality = study.valid_rank_ic(_predict(study, module, study.valid))
                if quality > best:
                    best, kept, waited = quality, copy.deepcopy(module.state_dict()), 0
                else:
                    waited += 1
            if is_over or waited >= _PATIENCE:
                break
        else:
            continue
        break
    module.load_state_dict(kept)
    scores = _predict(study, module, np.concatenate([study.valid, study.test]))
    about = {
        "valid_rank_ic": best,
        "parameters": count_parameters(module),
        "steps": steps,
        "stopped_by_time": is_over,
        "seconds": time.process_time() - started,
    }
    return Fitted(scores, about)


def _labels(study: Study, t: int, raw: bool) -> tuple[BoolArray, NDArray[np.float32]]:
    scored, target = study.targets(t)
    if raw:
        labels = study.labels[t, study.inputs.instruments[study.inputs.rows(t)]]
        target = labels[scored].astype(np.float32)
    return scored, target


def _tensors(study: Study, t: int) -> tuple[Tensor, Tensor]:
    instruments = study.inputs.instruments[study.inputs.rows(t)]
    return torch.from_numpy(study.inputs.window(t)), torch.from_numpy(instruments)


@torch.inference_mode()
def _predict(study: Study, module: nn.Module, windows: Int64Array) -> FloatArray:
    module.eval()
    scores = np.full(study.shape, np.nan)
    for t in windows.tolist():
        x, instruments = _tensors(study, t)
        if len(x):
            scores[t, instruments.numpy()] = module(x, instruments).numpy()
    module.train()
    return scores
