"""Quix Streams makes 1 s OHLCV of one-tick JSON messages; runs in the peers' environment and prints ticks/s and bars.

Arguments: bootstrap, topic, number of messages, folder for its state. The clock starts with the first message.
"""

import os
import sys
import time
from datetime import timedelta

from quixstreams import Application

bootstrap, topic, wanted, state_dir = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
app = Application(
    broker_address=bootstrap,
    consumer_group=f"quix-{os.getpid()}",
    auto_offset_reset="earliest",
    state_dir=state_dir,
    use_changelog_topics=False,
    loglevel="ERROR",
)
seen = {"n": 0, "started": 0.0, "rate": 0.0, "bars": 0}


def count(tick):
    if not seen["n"]:
        seen["started"] = time.perf_counter()
    seen["n"] += 1
    if seen["n"] == wanted:
        seen["rate"] = wanted / (time.perf_counter() - seen["started"])
        app.stop()
    return tick


def made(bar):
    seen["bars"] += 1
    return bar


def first(tick):
    price = tick["price"]
    return {"o": price, "h": price, "l": price, "c": price, "v": tick["size"]}


def add(bar, tick):
    price = tick["price"]
    if price > bar["h"]:
        bar["h"] = price
    if price < bar["l"]:
        bar["l"] = price
    bar["c"] = price
    bar["v"] += tick["size"]
    return bar


ticks = app.dataframe(app.topic(topic, value_deserializer="json")).apply(count)
bars = ticks.tumbling_window(timedelta(seconds=1)).reduce(reducer=add, initializer=first).final()
bars.apply(made).to_topic(app.topic("quix.bars", value_serializer="json"))
app.run()
print(seen["rate"], seen["bars"])
