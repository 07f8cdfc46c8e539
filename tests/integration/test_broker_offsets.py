"""The broker's own word on what a partition holds."""

from __future__ import annotations

import pytest

from topics.admin import create_topics
from topics.connection import producer_client
from topics.errors import BrokerError
from topics.offsets import first_offset_from
from topics.specs import SPECS

pytestmark = pytest.mark.broker


async def test_the_first_message_from_an_offset_on(bootstrap_servers: str, run_id: str) -> None:
    prefix = f"{run_id}."
    await create_topics(bootstrap_servers, [SPECS["ticks"]], prefix=prefix, partitions=2)
    topic = prefix + SPECS["ticks"].name
    async with producer_client(bootstrap_servers) as producer:
        for number in range(4):
            await producer.send_and_wait(topic, b"%d" % number, partition=1)
    found = [await first_offset_from(bootstrap_servers, topic, 1, offset) for offset in (0, 1, 3)]
    assert found == [0, 1, 3]
    with pytest.raises(BrokerError, match="no message at or after offset 4"):
        await first_offset_from(bootstrap_servers, topic, 1, 4, timeout_s=0.5)
