"""When a session is over, and when it is stuck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

from cs3g.collect import Collector, slowest_close
from cs3g.flow import FlowSink, InFlight
from cs3g.live_view import LiveView, RoleProgress
from cs3g.session_plan import SessionPlan
from pipeline.errors import PipelineError
from replay.gate import Gate
from replay.report import Progress, ReplayReport
from topics.runs import PredictionRun
from topics.types import Role

STALL_TIMEOUT_S: Final = 300.0
"""Longest wait for the next prediction once the replay does not move either."""


class SessionStalled(PipelineError, TimeoutError):
    """Neither the replay nor the predictions move any more."""


class Follower(Protocol):
    """Follows something beside the predictions while a session runs."""

    @property
    def gate(self) -> Gate:
        """What holds the replay back meanwhile."""

    async def poll(self) -> bool:
        """Take what has arrived; return whether something has moved."""

    def is_done(self, last_window_ns: int) -> bool:
        """Return whether the session may end, once every window up to the last is predicted."""


class ReplayWatch:
    """Shows the replay's progress in the view's title and remembers it."""

    def __init__(self, view: LiveView) -> None:
        self._view = view
        self.ticks = 0

    def __call__(self, progress: Progress) -> None:
        """Show and remember it."""
        self.ticks = progress.ticks
        done = "" if progress.fraction is None else f" ({progress.fraction:.0%})"
        verb = "checked" if progress.stage == "check" else "replayed"
        self._view.status = f"{verb} {progress.ticks:,} ticks{done}"


class SessionWatch:
    """Notices when the last window is predicted by every role, and when nothing moves any more."""

    def __init__(
        self,
        plan: SessionPlan,
        in_flight: InFlight,
        flow: FlowSink,
        collector: Collector,
        roles: dict[Role, RoleProgress],
    ) -> None:
        self._plan = plan
        self._in_flight = in_flight
        self._flow = flow
        self._collector = collector
        self._roles = roles
        self._moved = time.monotonic()
        self._ticks = 0

    def take(self, runs: Sequence[PredictionRun]) -> None:
        """Count new predictions, and let the replay go on as far as they allow."""
        for run in runs:
            latency_s = self._flow.latency_s(int(run.ts_close[-1]))
            self._roles[run.role].add(run, None if latency_s is None else latency_s * 1000.0)
        if runs:
            self.moved()
            self._in_flight.predicted(slowest_close(self._collector.found.last_close, self._plan.roles))
            self._flow.wake()

    def moved(self) -> None:
        """Note that something moves."""
        self._moved = time.monotonic()

    def is_done(self, replaying: asyncio.Task[ReplayReport], follower: Follower | None) -> bool:
        """Return whether all that was replayed is predicted, and the follower is done too."""
        if not replaying.done():
            return False
        ts_last = replaying.result().ts_last
        if ts_last is None:
            return True
        config, found = self._plan.config, self._collector.found
        last_close = (ts_last // config.window_size_ns + 1) * config.window_size_ns
        # The end of the replay closes every window, but nothing may have fallen into the last tick's own: it
        # can be refused. So what must be predicted is the last window that has something.
        return (
            self._collector.frontier_ns(config.tick_partitions) >= last_close
            and slowest_close(found.last_close, self._plan.roles) >= found.last_window_ns
            and (follower is None or follower.is_done(found.last_window_ns))
        )

    def check(self, ticks: int) -> None:
        """Raise once nothing has moved for too long.

        Parameters
        ----------
        ticks
            Replayed so far.

        Raises
        ------
        SessionStalled
            Neither the replay nor the predictions nor the follower have moved.
        """
        now = time.monotonic()
        if ticks != self._ticks:
            self._ticks, self._moved = ticks, now
        elif now - self._moved > STALL_TIMEOUT_S:
            ends = ", ".join(f"{role} {end}" for role, end in self._collector.found.last_close.items())
            raise SessionStalled(
                f"no prediction for {STALL_TIMEOUT_S:g} s (last windows: {ends or 'none'});"
                " the workers' logs say what they wait for"
            )
