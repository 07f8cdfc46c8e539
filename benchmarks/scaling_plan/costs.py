"""What a piece of work costs: seconds of one core and bytes on the wire, as `--measure` found them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MESSAGE_TICKS: Final = 1_000
REFRESH_WINDOWS: Final = 8
"""`correlation_stride`: all correlations of a universe are made anew in one window of so many."""

CHECKPOINT_EVERY_S: Final = 1.0
"""`pipeline.agents.checkpoints.INTERVAL_S`."""


@dataclass(frozen=True)
class Costs:
    """Defaults are the medians of `python -m benchmarks.scaling_plan --measure`; see docs/scaling.md.

    Attributes
    ----------
    tick_s
        Decode and fold, for a tick in messages of 1,000.
    close_row_s
        For an instrument of a closed window: close, and encode for the topic.
    join_row_s
        Likewise: decode, and the barrier.
    graph_row_s, lead_pair_s
        Of every snapshot: for an instrument; for a pair of instruments (who leads whom, an eighth in turn).
    refresh_row_s, refresh_pair_s
        Likewise, but on top in each eighth window, when all correlations are made anew.
    codec_row_s
        For an instrument of a snapshot: encode and decode.
    score_row_s
        For an instrument: the student's step, and the prediction encoded.
    checkpoint_row_s
        For an instrument, once a second: the state of graphs and scores as bytes.
    kafka_tick_s, message_s
        What Kafka's client and Faust cost for a tick (fetch, decompression, copies), and for a message received. Not
        measured but derived from the CPU of whole workers, see `measure.kafka_costs`.
    sent_s
        For a message sent. Assumed: Faust's own way, which it still goes, took 0.3 ms for one received, see
        docs/speed.md.
    hop_s
        From produce to consume, and assumed again until the replicas have it: the bare broker's median in
        docs/speed.md.
    tick_wire_bytes, window_row_bytes, graph_row_bytes, prediction_row_bytes
        On the wire: a tick after zstd 1, and an instrument in a message of each kind.
    """

    tick_s: float = 0.042e-6
    close_row_s: float = 0.53e-6
    join_row_s: float = 0.41e-6
    graph_row_s: float = 1.38e-6
    lead_pair_s: float = 0.74e-9
    refresh_row_s: float = 0.81e-6
    refresh_pair_s: float = 1.84e-9
    codec_row_s: float = 0.85e-6
    score_row_s: float = 0.54e-6
    checkpoint_row_s: float = 0.16e-6
    kafka_tick_s: float = 0.149e-6
    message_s: float = 36e-6
    sent_s: float = 0.3e-3
    hop_s: float = 1.3e-3
    tick_wire_bytes: float = 15.2
    window_row_bytes: float = 71.1
    graph_row_bytes: float = 139.0
    prediction_row_bytes: float = 38.1

    def graph_s(self, instruments: int, partitions: int, *, refreshes: bool) -> float:
        """Return what a window of a universe costs from its partitions' windows to its snapshot sent."""
        row_s = self.join_row_s + self.graph_row_s + self.codec_row_s
        snapshot_s = instruments * row_s + instruments**2 * self.lead_pair_s
        refresh_s = self.refresh_s(instruments) if refreshes else 0.0
        return partitions * self.message_s + self.sent_s + snapshot_s + refresh_s

    def refresh_s(self, instruments: int) -> float:
        """Return what all correlations of a universe cost anew."""
        return instruments * self.refresh_row_s + instruments**2 * self.refresh_pair_s

    def score_s(self, instruments: int) -> float:
        """Return what a window's scores cost, snapshot received and prediction sent."""
        return self.message_s + self.sent_s + instruments * self.score_row_s

    def checkpoint_s(self, instruments: int, window_s: float) -> float:
        """Return a window's share of the checkpoints, of which there are two a second at most."""
        each_s = instruments * self.checkpoint_row_s + 2 * self.sent_s
        return each_s * min(1.0, window_s / CHECKPOINT_EVERY_S)

    def sequence_s(self, instruments: int, partitions: int, window_s: float) -> float:
        """Return what a universe's window costs on the core of its sequence, refreshes amortized."""
        plain_s = self.graph_s(instruments, partitions, refreshes=False)
        refresh_s = self.refresh_s(instruments) / REFRESH_WINDOWS
        return plain_s + refresh_s + self.score_s(instruments) + self.checkpoint_s(instruments, window_s)
