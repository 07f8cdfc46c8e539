"""Bytewax makes 1 s OHLCV by symbol of one-tick JSON messages; prints ticks/s and bars.

Arguments: bootstrap, topic, number of messages. The clock runs from the first message to the end of the topic.
"""

import sys
import time
from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing
from bytewax.testing import TestingSink, run_main
from confluent_kafka import OFFSET_BEGINNING

bootstrap, topic, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
seen = {"n": 0, "started": 0.0}


def decode(message):
    if not seen["n"]:
        seen["started"] = time.perf_counter()
    seen["n"] += 1
    tick = orjson.loads(message.value)
    return str(tick["instrument_id"]), tick


def add(bar, tick):
    price = tick["price"]
    if bar is None:
        return [price, price, price, price, tick["size"]]
    if price > bar[1]:
        bar[1] = price
    if price < bar[2]:
        bar[2] = price
    bar[3] = price
    bar[4] += tick["size"]
    return bar


flow = Dataflow("bars")
source = KafkaSource([bootstrap], [topic], starting_offset=OFFSET_BEGINNING, tail=False, batch_size=10_000)
ticks = op.map("decode", op.input("in", flow, source), decode)
clock = windowing.EventClock(
    lambda tick: datetime.fromtimestamp(tick["ts_event"] / 1e9, UTC),
    wait_for_system_duration=timedelta(0),
)
windower = windowing.TumblingWindower(length=timedelta(seconds=1), align_to=datetime(2013, 1, 1, tzinfo=UTC))
bars = windowing.fold_window("bars", ticks, clock, windower, lambda: None, add, lambda a, b: a)
out = []
op.output("out", bars.down, TestingSink(out))
run_main(flow)
if seen["n"] != wanted:
    sys.exit(f"{seen['n']} of {wanted} messages came")
print(wanted / (time.perf_counter() - seen["started"]), len(out))
