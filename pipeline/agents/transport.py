"""Faust's Kafka transport, with a consumer that does not hammer a broker that never holds a fetch."""

from __future__ import annotations

from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

from topics.pacing import pace_fetches


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        return pace_fetches(super()._create_worker_consumer(transport))


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):
    Consumer = _Consumer


def pace_consumer(app: faust.App) -> None:
    """Give an application the transport; call it before anything asks for the application's own."""
    app.transport = _Transport(app.conf.broker_consumer, app)
