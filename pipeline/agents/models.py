"""What the scoring agent asks of the world to change models: announcements, artifacts, and what was published."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cs3g_model.protocol import StreamingModel
from pipeline.config import PipelineConfig
from pipeline.serving import load_serving
from topics.announcements import Announced, AnnouncementReader
from topics.envelope import Envelope
from topics.errors import SchemaError
from topics.graphs_codec import decode_graphs
from topics.predictions_codec import decode_predictions
from topics.runs import GraphRun, PredictionRun
from topics.tail import Record, end_offset, read_tail
from topics.types import Role


@dataclass(frozen=True, slots=True)
class Published:
    """The last window that a role has published.

    Attributes
    ----------
    ts_close
        Its end, ns; 0 for none.
    next_seq
        Number of the window after it.
    """

    ts_close: int = 0
    next_seq: int = 0


class Models:
    """The models of one universe and role, as the broker and the registry know them; mutates self."""

    def __init__(self, config: PipelineConfig, role: Role) -> None:
        self._config = config
        self._role: Role = role
        self._announcements = AnnouncementReader(
            config.bootstrap_servers, universe=config.universe, role=role, prefix=config.topic_prefix
        )
        self._loaded: dict[tuple[str, str], StreamingModel] = {}

    @property
    def topic(self) -> str:
        """Where models are announced."""
        return self._announcements.topic

    async def announced(self) -> list[Announced]:
        """Return what was announced since the last call, up to the topic's end."""
        return await self._announcements.read()

    async def load(self, model_id: str, sha256: str) -> StreamingModel:
        """Return a model that is ready to serve, from memory if it was loaded before.

        Raises
        ------
        ModelRefusedError
            It may not serve, and why.
        """
        key = (model_id, sha256)
        if key not in self._loaded:
            # Reading and compiling would stall the consumer's heartbeats.
            self._loaded[key] = await asyncio.to_thread(
                load_serving, self._config, self._role, model_id, sha256
            )
        return self._loaded[key]

    def forget_but(self, wanted: set[str]) -> None:
        """Drop the loaded models that nobody wants any more."""
        self._loaded = {key: model for key, model in self._loaded.items() if key[0] in wanted}

    async def predictions_end(self) -> int:
        """Return where the predictions topic ends."""
        return await end_offset(self._config.bootstrap_servers, self._config.topics.predictions)

    async def published(self, seq: int, *, since_offset: int) -> Published:
        """Return the last window that this role has published in its universe after a checkpoint was written.

        Parameters
        ----------
        seq
            Number of the first window after the checkpoint.
        since_offset
            Where the predictions topic ended before the role's first prediction.
        """
        config = self._config

        def runs(records: Sequence[Record]) -> list[PredictionRun]:
            found = (_prediction_run(record) for record in records)
            return [
                run
                for run in found
                if run is not None
                and (run.universe, run.role) == (config.universe, self._role)
                and len(run.ts_close)
            ]

        # Whatever followed the checkpoint lies behind the window that it stands at, and may have been sent twice.
        records = await read_tail(
            config.bootstrap_servers,
            config.topics.predictions,
            lambda records: any(run.seq <= seq for run in runs(records)),
            after=since_offset,
        )
        ends = [Published(int(run.ts_close[-1]), run.seq + len(run.ts_close)) for run in runs(records)]
        return max(ends, key=lambda end: end.ts_close, default=Published())

    async def recent_graphs(
        self, boundary_ns: int, n_windows: int, *, partition: int, before: int
    ) -> list[GraphRun]:
        """Return runs that hold the last snapshots which end at or before a boundary, if the topic has so many.

        Parameters
        ----------
        partition, before
            Where the first snapshot after the boundary lies; nothing from there on is read.
        """
        if n_windows == 0:
            return []
        config = self._config

        def runs(records: Sequence[Record]) -> list[GraphRun]:
            found = (_graph_run(record) for record in records)
            return [run for run in found if run is not None and run.universe == config.universe]

        def is_enough(records: Sequence[Record]) -> bool:
            ends = [run.ts_close[run.ts_close <= boundary_ns] for run in runs(records)]
            return bool(ends) and len(np.unique(np.concatenate(ends))) >= n_windows

        records = await read_tail(
            config.bootstrap_servers, config.topics.graphs, is_enough, partition=partition, before=before
        )
        return runs(records)

    async def close(self) -> None:
        """Disconnect."""
        await self._announcements.close()


def _graph_run(record: Record) -> GraphRun | None:
    # What cannot be read was sent to the dead letters when it was scored.
    try:
        return decode_graphs(record.value, Envelope.from_headers(record.headers))
    except SchemaError:
        return None


def _prediction_run(record: Record) -> PredictionRun | None:
    try:
        return decode_predictions(record.value, Envelope.from_headers(record.headers))
    except SchemaError:
        return None
