"""Processes that fit together: who they are, and what they tell each other.

Everything goes through an all-gather and is then summed in the order of the ranks, so that a result depends
on the number of ranks but never on which message came first. `torchrun` starts the processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cs3g_model.errors import TrainingError

__all__ = ["ALONE", "Ranks", "block_of", "joined", "split_by_seed"]

_PATIENCE = timedelta(days=7)
"""A rank whose seeds are done waits for the others' fits; torchrun ends all if one fails."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process's view of a group.

    Attributes
    ----------
    rank, size
        This process, and how many there are.
    group
        torch's handle; None for a process alone.
    """

    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors, of one shape and dtype, of all ranks in their order."""
        if self.size == 1:
            return [tensor]
        out = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(out, tensor.contiguous(), group=self.group)
        return out

    def gather_json(self, value: Any, device: torch.device | None = None) -> list[Any]:
        """Return the JSON values of all ranks in their order; for what is small and not a tensor."""
        if self.size == 1:
            return [value]
        text = json.dumps(value).encode()
        lengths = [int(n) for n in self.gather(torch.tensor([len(text)], device=device))]
        padded = torch.zeros(max(lengths), dtype=torch.uint8)
        padded[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        texts = self.gather(padded.to(device) if device is not None else padded)
        return [
            json.loads(t[:n].cpu().numpy().tobytes().decode()) for t, n in zip(texts, lengths, strict=True)
        ]

    def share_weights(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors, in place, with rank 0's."""
        if self.size == 1:
            return
        for tensor in tensors:
            tensor.data.copy_(self.gather(tensor.data)[0])

    def average_gradients(
        self, parameters: Sequence[nn.Parameter], scalars: Tensor, takes_part: bool
    ) -> Tensor:
        """Average gradients, in place, over the ranks that take part; a parameter none used keeps None.

        Parameters
        ----------
        parameters
            The same on all ranks, in the same order.
        scalars
            (M,) float32, a rank's own numbers to be told along.
        takes_part
            Whether this rank computed gradients.

        Returns
        -------
        Tensor
            (size, M) float32, the ranks' scalars.
        """
        if self.size == 1:
            return scalars[None]
        used = torch.tensor([p.grad is not None for p in parameters], device=scalars.device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        head = torch.cat([scalars, scalars.new_tensor([float(takes_part)]), used.to(scalars.dtype)])
        rows = torch.stack(self.gather(torch.cat([head, *(g.reshape(-1) for g in gradients)])))
        M, P = len(scalars), len(gradients)
        share = rows[:, M].sum().clamp_min(1.0)
        any_used = rows[:, M + 1 : M + 1 + P].sum(0) > 0
        total = rows[0, M + 1 + P :].clone()
        for row in rows[1:]:
            total += row[M + 1 + P :]
        parts = torch.split(total / share, [g.numel() for g in gradients])
        for p, part, is_used in zip(parameters, parts, any_used.tolist(), strict=True):
            p.grad = part.view_as(p).clone() if is_used else None
        return rows[:, :M]

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier(group=self.group)


ALONE = Ranks()


def block_of(n: int, ranks: Ranks) -> range:
    """Return the rank's block of n consecutive things; blocks differ in length by 1 at most.

    Raises
    ------
    TrainingError
        If a rank would get none.
    """
    if n < ranks.size:
        raise TrainingError(f"{n} chunks of training windows are too few for {ranks.size} ranks: start fewer")
    return range(ranks.rank * n // ranks.size, (ranks.rank + 1) * n // ranks.size)


def split_by_seed(ranks: Ranks, seeds: Sequence[int]) -> tuple[Ranks, list[int]]:
    """Divide ranks among seeds: this rank's group, and the seeds which the group fits one after the other.

    With fewer seeds than ranks a seed is fitted by several ranks, which share its date blocks.

    Raises
    ------
    TrainingError
        If the ranks cannot be divided evenly.
    """
    if ranks.size == 1:
        return ALONE, list(seeds)
    n_groups = min(len(seeds), ranks.size)
    if ranks.size % n_groups:
        raise TrainingError(f"{ranks.size} ranks cannot be divided evenly among {n_groups} seeds")
    width = ranks.size // n_groups
    mine = ranks.rank // width
    if width == 1:
        return ALONE, list(seeds[mine::n_groups])
    # Every rank must help to make every group.
    groups = [dist.new_group(list(range(g * width, (g + 1) * width))) for g in range(n_groups)]
    return Ranks(ranks.rank % width, width, groups[mine]), list(seeds[mine::n_groups])


@contextmanager
def joined(*, cuda: bool) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it did: WORLD_SIZE and RANK say so."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), dist.group.WORLD)
    finally:
        dist.destroy_process_group()
