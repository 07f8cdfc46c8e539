"""databento: `DBNStore.replay` of a DBN file into a callback that counts; prints JSON.

Runs in the peers' environment.
"""

import json
import sys
import time

import databento

count = 0


def take(_: object) -> None:
    """Count a record."""
    global count
    count += 1


store = databento.DBNStore.from_file(sys.argv[1])
started = time.perf_counter()
store.replay(take)
print(json.dumps({"ticks": count, "wall_s": time.perf_counter() - started}))
