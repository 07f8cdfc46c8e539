"""S3G, the teacher: wavelets, then blocks of a selective SSM and gated aggregation over an evolving graph."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cs3g_model.config import TeacherConfig
from cs3g_model.constants import SMALL_GAIN
from cs3g_model.graph import EvolvingGraph, WeightedSum
from cs3g_model.inputs import Graph, ModelOutput, SnapshotTensors, State
from cs3g_model.mixing import RelationMixer, center, relation_mixers
from cs3g_model.ssm import SelectiveSSM
from cs3g_model.wavelets import BandProjection, CausalHaarBank

__all__ = ["Teacher"]


class TeacherBlock(nn.Module):
    """One step of time and one of the graph.

    y = SSM(silu(W x));   x + drop(P y + g * sigmoid(G [y, m]) * M m)

    m holds the messages that reach a node, of y centered; g are learned gains. There is no layer norm: the
    inputs are standardized and bounded already, and how far an instrument moved is part of the signal.
    """

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        D = config.width
        self.config = config
        self.serving = False
        """Whether single windows are scored in which all are present, and no graph is asked for."""
        self.inward = nn.Linear(D, D)
        self.ssm = SelectiveSSM(D, config.state_size)
        self.outward = nn.Linear(D, D)
        self.dropout = nn.Dropout(config.dropout)
        channels = 0
        if config.graph:
            self.graph = EvolvingGraph(
                D,
                heads=config.heads,
                rank=config.rank,
                edges=config.edges,
                state_size=config.graph_state_size,
                relations=config.relations,
            )
            self.values = nn.Linear(D, D, bias=False)
            self.passing = WeightedSum()
            channels += 1
        self.relations = relation_mixers(config.relations)
        channels += len(config.relations)
        if channels:
            self.gate = nn.Linear((1 + channels) * D, D)
            self.messages = nn.Linear(channels * D, D, bias=False)
            self.gains = nn.Parameter(torch.full((D,), SMALL_GAIN))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state's tensors without their leading N."""
        shapes: dict[str, tuple[int, ...]] = {"ssm": (self.config.width, self.config.state_size)}
        if self.config.graph:
            shapes |= self.graph.state_shapes()
        return shapes

    def forward(self, z: Tensor, x: SnapshotTensors, state: State) -> tuple[Tensor, State, Graph | None]:
        """Run over z (T, N, D); returns the new z, the new state, and the learned graph."""
        y, h = self.ssm(functional.silu(self.inward(z)), x.mask, state["ssm"])
        after = {"ssm": h}
        centered = center(y, x.mask)
        parts = []
        graph = None
        if self.config.graph and self.serving:
            m, evolved = self.graph.mix(y, self.values(centered), x, state)
            after |= evolved
            parts.append(m)
        elif self.config.graph:
            graph, evolved = self.graph(y, x, state)
            after |= evolved
            T, N, D = y.shape
            H = self.config.heads
            v = self.values(centered).view(T, N, H, D // H).transpose(1, 2).reshape(T * H * N, D // H)
            m = self.passing(v, graph).view(T, H, N, D // H).transpose(1, 2).reshape(T, N, D)
            parts.append(m)
        for relation in self.relations:
            mixer = cast(RelationMixer, relation)
            parts.append(mixer.serve(centered, x) if self.serving else mixer(centered, x))
        out = self.outward(y)
        if parts:
            m = torch.cat(parts, dim=-1)
            gate = torch.sigmoid(self.gate(torch.cat([y, m], dim=-1)))
            out = out + self.gains * gate * self.messages(m)
        return z + self.dropout(out), after, graph


class Teacher(nn.Module):
    """The teacher as a torch module with two entry points, `forward` over a run and `step`.

    A return head scores; a dispersion head gives the log of the scale of the target's error.
    """

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.wavelets = CausalHaarBank(config.n_features, config.wavelet_levels, config.threshold)
        self.inward = BandProjection(config.n_features, self.wavelets.n_bands, config.width)
        self.blocks = nn.ModuleList(TeacherBlock(config) for _ in range(config.layers))
        self.score = nn.Linear(config.width, 1)
        nn.init.zeros_(self.score.weight)  # a random function would drown the signal
        nn.init.zeros_(self.score.bias)
        self.dispersion = nn.Linear(config.width, 1)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state's tensors without their leading N."""
        shapes = self.wavelets.state_shapes()
        for i, block in enumerate(self.blocks):
            own = cast(TeacherBlock, block).state_shapes()
            shapes |= {f"block{i}.{name}": shape for name, shape in own.items()}
        return shapes

    def forward(self, x: SnapshotTensors, state: State) -> tuple[ModelOutput, State]:
        """Score a run from `state`; the scores are 0 where absent."""
        bands, after = self.wavelets(x.features, x.mask, state)
        z = self.inward(bands)  # (T, N, D)
        graph = None
        for i, block in enumerate(self.blocks):
            prefix = f"block{i}."
            own = {name.removeprefix(prefix): h for name, h in state.items() if name.startswith(prefix)}
            z, evolved, graph = block(z, x, own)
            after |= {prefix + name: h for name, h in evolved.items()}
        scores = torch.where(x.mask, self.score(z).squeeze(-1), 0.0)
        return ModelOutput(scores, z, self.dispersion(z).squeeze(-1), graph), after

    def step(self, x: SnapshotTensors, state: State) -> tuple[Tensor, State]:
        """Score one window, T = 1; scores (N,)."""
        output, after = self.forward(x, state)
        return output.scores[0], after
