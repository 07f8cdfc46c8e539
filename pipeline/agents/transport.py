"""Faust's Kafka transport, with a consumer that hands on what a fetch brought as runs of messages.

Faust passes each message on by itself, over two tasks, a channel and a stream: some 0.3 ms a message whatever it
carries. A receiver of a topic gets the messages of a fetch at once; the group, its assignments, the flow control
during a rebalance and the commits stay Faust's. Topics without a receiver go Faust's own way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import faust
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, EventT, ServiceT

from topics.pacing import MOST_S, PROMPT_S, Work, pace_fetches

_POLL_S: Final = 1.0
_SHARE_MESSAGES: Final = 64


class Receiver(Protocol):
    """Takes the messages of one topic."""

    @property
    def epoch(self) -> int:
        """A number that changes with every rebalance."""

    def take(self, epoch: int, events: list[EventT[Any]]) -> bool:
        """Take consecutive messages of one partition; return whether there is room for more.

        Parameters
        ----------
        epoch
            Of before the messages were asked for: those of an earlier assignment are not for this one.
        """

    def when_room(self, callback: Any) -> None:
        """Call back once there is room again."""


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        if transport.work is None:
            return pace_fetches(consumer, least_s=MOST_S)
        return pace_fetches(consumer, least_s=PROMPT_S, work=transport.work)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        """Return a share of what was fetched of each partition, or wait for more.

        The client would unpack all of the first partition before it looks at the next one.
        """
        shares: dict[TP, list[Any]] = {}
        for tp in [tp for tp in consumer._fetcher._records if tp in active_partitions]:
            shares |= await super()._fetch_records(consumer, {tp}, timeout=0, max_records=_SHARE_MESSAGES)
        return shares or await super()._fetch_records(consumer, active_partitions, timeout, _SHARE_MESSAGES)


class _Consumer(driver.Consumer):
    @property
    def _work(self) -> Work | None:
        work: Work | None = self.transport.work  # type: ignore[attr-defined]  # it is ours
        return work

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._hand_on()
                await asyncio.sleep(0)
                if self._work is not None:
                    await self._work.end_here()
        except (asyncio.CancelledError, Exception) as error:
            is_end = isinstance(error, (asyncio.CancelledError, *self.consumer_stopped_errors))
            if not (is_end and self.app.should_stop):
                raise

    async def _hand_on(self) -> None:
        receivers: dict[str, Receiver] = self.transport.receivers  # type: ignore[attr-defined]  # it is ours
        epochs = {topic: receiver.epoch for topic, receiver in receivers.items()}
        records, active = await self._wait_next_records(_POLL_S)
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            # A rebalance has begun, and what was fetched is nobody's; the next assignment starts at the commits.
            await self._seek_back()
            return
        generation = self.app.consumer_generation_id
        for place, run in records.items():
            tp = ensure_TP(place)
            if not self._is_wanted(tp, active):
                continue
            receiver = receivers.get(tp.topic)
            fresh = await self._unread(tp, run)
            if receiver is None:
                await self._pass_on(tp, fresh)
            elif fresh and self.flow_active and generation == self.app.consumer_generation_id:
                self._read_offset[tp] = fresh[-1].offset
                if self._work is not None:
                    self._work.begin_here()
                if not receiver.take(epochs.get(tp.topic, receiver.epoch), self._events(tp, fresh)):
                    self.on_buffer_full(tp)
                    receiver.when_room(lambda tp=tp: self.on_buffer_drop(tp))
        if self._commit_every is not None and self._n_acked >= self._commit_every:
            self._n_acked = 0
            await self.commit()

    def _is_wanted(self, tp: TP, active: set[TP] | None) -> bool:
        return active is None or tp in active or tp in self._buffered_partitions

    async def _seek_back(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # as Faust does: the assignment that follows seeks again
            self.log.warning("cannot seek while the flow is stopped: %s", error)

    async def _unread(self, tp: TP, run: list[Any]) -> list[Any]:
        """Return the records that were not handed on yet; note offsets that are not there, or no commit passes them."""
        read = self._read_offset[tp]
        fresh = run if read is None else [record for record in run if record.offset >= read]
        last = read or None
        if fresh and (fresh[-1].offset - (fresh[0].offset if last is None else last)) >= len(fresh):
            for record in fresh:
                if last is not None and record.offset - last > 1:
                    await self._add_gap(tp, last + 1, record.offset - 1)
                last = record.offset
        return fresh

    def _events(self, tp: TP, records: list[Any]) -> list[EventT[Any]]:
        events = []
        for record in records:
            message = self._to_message(tp, record)
            message.refcount = 1
            events.append(self.app.create_event(record.key, record.value, record.headers, message))
        return events

    async def _pass_on(self, tp: TP, records: list[Any]) -> None:
        for record in records:
            if not self.flow_active:
                return
            await self.wait_first(self.callback(self._to_message(tp, record)), self.suspend_flow.wait())
            self._read_offset[tp] = record.offset


class _Transport(driver.Transport):
    Consumer = _Consumer

    def __init__(self, *args: Any, is_live: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.work = Work() if is_live else None
        self.receivers: dict[str, Receiver] = {}


def install_transport(app: faust.App, *, is_live: bool) -> None:
    """Give an application the transport; call it before anything asks for the application's own.

    Parameters
    ----------
    is_live
        Whether latency counts: nothing is then fetched until receivers say that they are done, but for a backlog.
    """
    app.transport = _Transport(app.conf.broker_consumer, app, is_live=is_live)


def done_with_messages(app: faust.App) -> None:
    """Say that a receiver has worked through what it had, where the application has this transport."""
    work = getattr(app.transport, "work", None)
    if work is not None:
        work.done()


@contextmanager
def receiving(app: faust.App, topic: str, receiver: Receiver) -> Iterator[None]:
    """Let a receiver have a topic's messages, where the application has this transport."""
    receivers = getattr(app.transport, "receivers", {})
    receivers[topic] = receiver
    try:
        yield
    finally:
        receivers.pop(topic, None)
