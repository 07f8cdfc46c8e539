"""What a deployment consists of, and how busy each of its resources is on average."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from benchmarks.scaling_plan.costs import MESSAGE_TICKS, Costs
from topics.envelope import MAX_MESSAGE_BYTES
from topics.types import Float64Array, Int64Array

MESSAGE_WAIT_S: Final = 0.005
"""What the feed's producer lets ticks wait for company."""

_GBIT_BYTES: Final = 1e9 / 8

Placement = Literal["shared", "apart"]
"""`shared`: a universe's sequence of graphs and scores has a core that tick partitions have too, as the workers of
today. `apart`: it has a core without any."""


@dataclass(frozen=True)
class Deployment:
    """Hosts, load and what befalls them.

    Attributes
    ----------
    ticks_per_s
        On average, outside the burst.
    instruments, universes, window_s
        Every universe has as many instruments, and topics of its own.
    hosts, cores_per_host
        Of workers; a worker is one process and has one core.
    placement, universes_per_core
        Where the sequences are; how many share a core if they are apart.
    partitions_per_core
        Tick partitions for each core that has any, at least.
    brokers, link_gbit
        Broker hosts, and the rate of every host's link in either direction.
    replication, tick_consumers
        Copies of each message; groups that read all ticks, workers included.
    burst, burst_at_s, burst_s
        The rate is `burst` times the average for a while.
    skew
        Sigma of the instruments' log-normal activity.
    jitter
        Standard deviation of a partition's rate over a tenth of a window, as a share.
    loss_at_s
        When the first host dies for good; None for never.
    session_timeout_s, rebalance_s
        Until the group notices, and until its partitions are worked on elsewhere: Faust's setting, and a heartbeat's
        interval, both in `pipeline/app.py`.
    commit_s
        Ticks acknowledged so recently are read again, `broker_commit_interval`.
    """

    ticks_per_s: float = 1e8
    instruments: int = 100_000
    universes: int = 50
    window_s: float = 1.0
    hosts: int = 4
    cores_per_host: int = 32
    placement: Placement = "shared"
    universes_per_core: int = 1
    partitions_per_core: int = 4
    brokers: int = 3
    link_gbit: float = 25.0
    replication: int = 3
    tick_consumers: int = 2
    burst: float = 3.0
    burst_at_s: float = 60.0
    burst_s: float = 60.0
    skew: float = 1.5
    jitter: float = 0.2
    loss_at_s: float | None = 180.0
    session_timeout_s: float = 10.0
    rebalance_s: float = 1.0
    commit_s: float = 0.3
    duration_s: float = 240.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.instruments < self.partitions:
            raise ValueError(f"{self.instruments} instruments cannot fill {self.partitions} tick partitions")
        if self.loss_at_s is not None and self.hosts < 2:
            raise ValueError("losing the only host leaves nobody: more `hosts`, or none lost (--no-loss)")
        if self.placement == "apart" and self.sequence_cores >= self.cores:
            raise ValueError(f"{self.sequence_cores} sequences' cores leave none of {self.cores} for ticks")

    @property
    def cores(self) -> int:
        """Of all worker hosts; core c is on host c % hosts."""
        return self.hosts * self.cores_per_host

    @property
    def sequence_cores(self) -> int:
        """Cores that sequences have for themselves: the first ones."""
        return math.ceil(self.universes / self.universes_per_core) if self.placement == "apart" else 0

    @property
    def partitions_per_universe(self) -> int:
        """As in `CS3G_TICK_PARTITIONS`."""
        wanted = self.partitions_per_core * (self.cores - self.sequence_cores)
        return max(1, math.ceil(wanted / self.universes))

    @property
    def partitions(self) -> int:
        """Tick partitions of all universes; partition p is of universe p // partitions_per_universe."""
        return self.universes * self.partitions_per_universe

    @property
    def per_universe(self) -> int:
        """Instruments of a universe."""
        return self.instruments // self.universes

    @cached_property
    def core_of_partition(self) -> Int64Array:
        """(P,) round the cores that take ticks, as Kafka assigns: by number, not by load."""
        free = self.cores - self.sequence_cores
        return self.sequence_cores + np.arange(self.partitions) % free

    @cached_property
    def core_of_sequence(self) -> Int64Array:
        """(U,) the core of each universe's graphs and scores."""
        if self.placement == "apart":
            return np.arange(self.universes) // self.universes_per_core
        # As any of its workers may get it: one that has fewest others', or a stride would pile them up.
        n_on, chosen = np.zeros(self.cores), []
        for own in self.core_of_partition.reshape(self.universes, -1):
            chosen.append(own[n_on[own].argmin()])
            n_on[chosen[-1]] += 1
        return np.array(chosen)

    @cached_property
    def share_of_partition(self) -> Float64Array:
        """(P,) of all ticks: the sums of its instruments' log-normal activities."""
        activity = np.exp(np.random.default_rng(self.seed).standard_normal(self.instruments) * self.skew)
        share = np.bincount(np.arange(self.instruments) % self.partitions, weights=activity)
        total: Float64Array = share / share.sum()
        return total

    @cached_property
    def rows_of_partition(self) -> Float64Array:
        """(P,) instruments."""
        return np.bincount(np.arange(self.instruments) % self.partitions).astype(np.float64)


def tick_work_s(costs: Costs, ticks: Float64Array, span_s: float) -> Float64Array:
    """Return the seconds of a core for each partition's ticks of a span of time, their messages included."""
    messages = np.maximum(ticks / MESSAGE_TICKS, np.minimum(ticks, span_s / MESSAGE_WAIT_S))
    work: Float64Array = ticks * (costs.tick_s + costs.kafka_tick_s) + messages * costs.message_s
    return work


def link_load(want: Deployment, costs: Costs, ticks_per_s: float) -> tuple[float, float]:
    """Return the share of the brokers' links that is in use, in and out; leaders and replicas are spread evenly."""
    tick_bytes = ticks_per_s * costs.tick_wire_bytes
    row_bytes = costs.window_row_bytes + costs.graph_row_bytes + costs.prediction_row_bytes
    made_bytes = want.instruments / want.window_s * row_bytes
    capacity = want.brokers * want.link_gbit * _GBIT_BYTES
    copies = want.replication
    received = copies * (tick_bytes + made_bytes)
    sent = (copies - 1 + want.tick_consumers) * tick_bytes + copies * made_bytes  # one reader of what is made
    return received / capacity, sent / capacity


def resources(want: Deployment, costs: Costs, ticks_per_s: float) -> dict[str, float]:
    """Return how busy each resource would be at a steady rate, its fullest piece counted; above 1 it saturates."""
    ticks = ticks_per_s * want.share_of_partition
    work = tick_work_s(costs, ticks, 1.0)
    close = want.rows_of_partition * costs.close_row_s + costs.sent_s
    of_ticks = np.bincount(want.core_of_partition, work + close / want.window_s, want.cores)
    sequence_s = costs.sequence_s(want.per_universe, want.partitions_per_universe, want.window_s)
    in_order = np.bincount(want.core_of_sequence, minlength=want.cores) * sequence_s / want.window_s
    received, sent = link_load(want, costs, ticks_per_s)
    found = {
        "brokers' links, in": received,
        "brokers' links, out": sent,
        "workers' links, in": ticks_per_s
        * costs.tick_wire_bytes
        / (want.hosts * want.link_gbit * _GBIT_BYTES),
        "ticks, hottest partition": float((work + close / want.window_s).max()),
        "sequence of a universe": sequence_s / want.window_s,
        # A snapshot of one window is never cut.
        "snapshot in one message": want.per_universe * costs.graph_row_bytes / MAX_MESSAGE_BYTES,
    }
    if want.placement == "apart":
        found["ticks, hottest core"] = float(of_ticks.max())
        found["sequences, hottest core"] = float(in_order.max())
    else:
        found["ticks and sequences, hottest core"] = float((of_ticks + in_order).max())
    return found


def first_to_saturate(want: Deployment, costs: Costs) -> tuple[str, float]:
    """Return the resource that a growing rate fills first, and that rate; 0 where it is full without a tick."""
    idle = resources(want, costs, 1e-9)
    for name, used in idle.items():  # the pieces before the whole
        if used >= 1.0:
            return name, 0.0
    low, high = 0.0, 1e12
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if max(resources(want, costs, middle).values()) > 1.0 else (middle, high)
    at = resources(want, costs, high)
    return max(at, key=lambda name: at[name]), high
