"""The section's rows: (a) real trades at once, (b) 500 instruments streamed, (c) the same in small messages."""

from __future__ import annotations

from typing import Final

from benchmarks.rows import Options, Row, median, ratio
from benchmarks.stream.bounded import Load, stream
from benchmarks.stream.catch_up import CatchUp, catch_up
from benchmarks.stream.peers import BRIDGE, json_ticks, run_peers
from benchmarks.ticks import catch_up_ticks
from topics.types import NANOS_PER_SECOND

COMMAND: Final = "python -m benchmarks stream"
TICKS_STREAMED, TICKS_QUICK = 20_000_000, 4_000_000


def rows(options: Options) -> list[Row]:
    """Measure the section, ours and the peers' in turns."""
    ours: list[CatchUp] = []
    peers: dict[str, list[float]] = {}
    large: list[float] = []
    small: list[float] = []
    ticks = TICKS_QUICK if options.quick else TICKS_STREAMED
    # Small messages cost the same per tick whatever the number of ticks.
    few = ticks // 4
    what = ""
    for repeat in range(options.repeats):
        run_id = f"catch{repeat}"
        filled = catch_up_ticks(options.data, run_id, batch_ticks=1000)
        what = filled.what
        ours.append(catch_up(filled, run_id, options.work, window_size_ns=NANOS_PER_SECOND))
        for name, rate in run_peers(options.peers_python, json_ticks(filled), options.work).items():
            peers.setdefault(name, []).append(rate)
        large.append(stream(options.work, f"large{repeat}", Load(ticks=ticks)).ticks_per_s)
        small.append(stream(options.work, f"small{repeat}", Load(ticks=few, batch_ticks=200)).ticks_per_s)
        print(f"   a {ours[-1].ticks_per_s:,.0f}  b {large[-1]:,.0f}  c {small[-1]:,.0f} ticks/s", flush=True)
    digests = {run.digest for run in ours}
    if len(digests) != 1:
        raise RuntimeError(f"the same ticks gave other predictions: {digests}")
    rate = median([run.ticks_per_s for run in ours])
    beside = {name: median(rates) for name, rates in peers.items()}
    bridge = beside.pop(BRIDGE)
    worker, broker = (
        median([getattr(run, name) for run in ours]) for name in ("worker_cpu_s", "broker_cpu_s")
    )
    return [
        Row(
            f"stream: {what}, 1 s windows, graph and student",
            rate,
            "ticks/s",
            "higher",
            target=1_000_000,
            peers=beside,
            ratios={name: ratio(rate, other, "higher") for name, other in beside.items()},
            ratio_targets={"Bytewax": 12.0, "Quix Streams": 30.0} if beside else {},
            limit=median([run.ticks / run.worker_cpu_s for run in ours]),
            command=COMMAND,
            note=f"{ours[0].ticks:,} ticks, {ours[0].windows:,} windows; CPU: worker {worker:.1f} s, broker"
            f" {broker:.1f} s; peers only make the bars, of 300,000 of the trades; limit: if the worker had a core",
        ),
        Row(
            "stream: 500 instruments, 10 s windows, streamed",
            median(large),
            "ticks/s",
            "higher",
            target=3_000_000,
            command=COMMAND,
            note=f"{ticks:,} ticks, 1,000 a message; producer, broker, worker and client share the cores",
        ),
        Row(
            "stream: the same, 200 ticks a message, share of it",
            median(small) / median(large),
            "",
            "higher",
            target=0.5,
            command=COMMAND,
            note=f"{median(small):,.0f} ticks/s",
        ),
        Row(
            "stream: one-tick JSON into runs (cs3g ingest)",
            bridge,
            "ticks/s",
            "higher",
            peers={name: beside[name] for name in beside if name == "Bytewax"},
            ratios={name: ratio(bridge, beside[name], "higher") for name in beside if name == "Bytewax"},
            ratio_targets={"Bytewax": 1.0} if beside else {},
            command=COMMAND,
            note="one process, its connections included; Bytewax makes bars of the same topic",
        ),
    ]
