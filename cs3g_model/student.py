"""C-S3G, the student: wavelets, one selective SSM, low-rank and relational mixing, a small head.

Cost and state are linear in N. This module is the reference; `cs3g_model.kernel` serves it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cs3g_model.config import StudentConfig
from cs3g_model.constants import SMALL_GAIN
from cs3g_model.inputs import ModelOutput, SnapshotTensors, State
from cs3g_model.mixing import LowRankMixer, center, relation_mixers
from cs3g_model.ssm import SelectiveSSM
from cs3g_model.wavelets import BandProjection, CausalHaarBank

__all__ = ["Student"]


class Student(nn.Module):
    """The student as a torch module with two entry points, `forward` over a run and `step`.

    score = w . silu(W [y, g_1 low-rank(v), g_2 relation_1(v), ...] + b) + b', where y is the SSM's
    output, v the same centered, g learned gains. w starts at 0: a random function would drown the signal.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        D = config.width
        self.wavelets = CausalHaarBank(config.n_features, config.wavelet_levels, config.threshold)
        self.inward = BandProjection(config.n_features, self.wavelets.n_bands, D)
        self.ssm = SelectiveSSM(D, config.state_size, tied=True)
        parts = 1
        if config.graph:
            self.mixer = LowRankMixer(D, config.rank)
            parts += 1
        self.relations = relation_mixers(config.relations)
        parts += len(config.relations)
        self.hidden = nn.Linear(parts * D, D)
        if parts > 1:
            self.gains = nn.Parameter(torch.full((parts - 1,), SMALL_GAIN))
        self.outward = nn.Linear(D, 1)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state's tensors without their leading N."""
        return {**self.wavelets.state_shapes(), "ssm": (self.config.width, self.config.state_size)}

    def forward(self, x: SnapshotTensors, state: State) -> tuple[ModelOutput, State]:
        """Score a run from `state`; the scores are 0 where absent."""
        bands, after = self.wavelets(x.features, x.mask, state)
        u = functional.silu(self.inward(bands))  # (T, N, D)
        y, after["ssm"] = self.ssm(u, x.mask, state["ssm"])
        v = center(y, x.mask)
        messages = []
        rows = None
        if self.config.graph:
            rows = self.mixer.factors(y, x.mask)
            messages.append(self.mixer(*rows, v))
        messages += [relation(v, x) for relation in self.relations]
        parts = [y, *(self.gains[i] * m for i, m in enumerate(messages))]
        z = functional.silu(self.hidden(torch.cat(parts, dim=-1)))  # (T, N, D)
        scores = self.outward(z).squeeze(-1)
        return ModelOutput(torch.where(x.mask, scores, 0.0), z, graph_rows=rows), after

    def step(self, x: SnapshotTensors, state: State) -> tuple[Tensor, State]:
        """Score one window, T = 1; scores (N,)."""
        output, after = self.forward(x, state)
        return output.scores[0], after
