"""A live worker of the three real stages over a broker of lists; it dies at any message that it sends."""

from types import SimpleNamespace
from typing import Any

from pipeline.agents import checkpoints, models
from pipeline.agents.checkpoints import Checkpoints
from pipeline.agents.directory import Directory
from pipeline.agents.graphs import GraphsStage
from pipeline.agents.scoring import ScoringStage
from pipeline.agents.serving_model import ServingModel
from pipeline.agents.windowing import WindowsStage
from pipeline.config import PipelineConfig
from pipeline.graph_config import InstrumentDirectory
from tests.property.list_broker import BrokersChangelog, DyingBroker, Topic
from tests.unit.pipeline.edges import EDGES
from tests.unit.pipeline.models import ExponentialMean
from topics.announcements import Announced
from topics.envelope import Message

PARTITIONS = 2
INSTRUMENTS = 4
MODEL = ExponentialMean()
DIRECTORY = InstrumentDirectory({i: f"S{i}" for i in range(1, INSTRUMENTS + 1)}, {1: 0}, EDGES)


class Broker(DyingBroker):
    """Topics, changelogs, the groups' commits by source partition; and when the worker dies."""

    def __init__(self, ticks: list[list[Message]]) -> None:
        self.ticks = ticks
        self.windows: list[Message] = []
        self.graphs: list[Message] = []
        self.predictions: list[Message] = []
        self.dead: list[Message] = []
        self.changelogs: dict[str, list[tuple[bytes, bytes]]] = {}
        self.commits: dict[tuple[str, int], int] = {}

    def source(self, name: str, partition: int) -> list[Message]:
        return {"ticks": self.ticks[partition], "windows": self.windows, "graphs": self.graphs}[name]


class NoOtherModels(models.Models):
    """Nothing is announced; what was published is read by the code under test."""

    async def announced(self) -> list[Announced]:
        return []


class AnnouncedInstruments(Directory):
    """All instruments were announced before their first tick."""

    async def _refresh(self, wanted: set[int]) -> None:
        self._value = DIRECTORY


class Source:
    """What one stage reads: a topic's partition from its commit on, committed up to the first without an ack."""

    def __init__(self, broker: Broker, name: str, partition: int = 0) -> None:
        self._broker, self._place = broker, (name, partition)
        self._position = broker.commits.get(self._place, 0)
        self._acknowledged: set[int] = set()

    @property
    def n_waiting(self) -> int:
        return len(self._broker.source(*self._place)) - self._position

    def next_events(self, n: int) -> list[Any]:
        start, self._position = self._position, self._position + min(n, self.n_waiting)
        return [self._event(offset) for offset in range(start, self._position)]

    def _event(self, offset: int) -> Any:
        name, partition = self._place
        message = self._broker.source(name, partition)[offset]

        def ack() -> None:
            self._acknowledged.add(offset)
            commit = self._broker.commits.get(self._place, 0)
            while commit in self._acknowledged:
                commit += 1
            self._broker.commits[self._place] = commit

        shown = SimpleNamespace(
            headers=message.headers, value=message.value, offset=offset, partition=partition, topic=name
        )
        return SimpleNamespace(message=shown, ack=ack)


Move = tuple[str, int, int, bool]
"""Whose turn it is; how many messages it has, of the second tick partition also; whether checkpoints are due."""


class Worker:
    """One life of the three stages, wired as in live mode, and what it has read."""

    def __init__(self, broker: Broker, config: PipelineConfig) -> None:
        app: Any = SimpleNamespace()

        def topic(log: list[Message]) -> Any:
            return Topic(broker, log)

        self.scoring = ScoringStage(
            app,
            config,
            app,
            serving=ServingModel(config, MODEL, NoOtherModels(config, "student"), topic(broker.dead)),
            checkpoints=Checkpoints(
                BrokersChangelog(broker, broker.changelogs.setdefault("scoring", [])), b"u"
            ),
            predictions_topic=topic(broker.predictions),
            latest_topic=None,
            dead_letters_topic=topic(broker.dead),
        )
        self.graphs = GraphsStage(
            app,
            config,
            app,
            checkpoints=Checkpoints(
                BrokersChangelog(broker, broker.changelogs.setdefault("graphs", [])), b"u"
            ),
            directory=AnnouncedInstruments(config),
            graphs_topic=topic(broker.graphs),
            dead_letters_topic=topic(broker.dead),
            successor=self.scoring,
        )
        self.windows = WindowsStage(
            app,
            config,
            app,
            windows_topic=topic(broker.windows),
            dead_letters_topic=topic(broker.dead),
            successor=self.graphs,
        )
        self._ticks = [Source(broker, "ticks", partition) for partition in range(PARTITIONS)]
        self._windows, self._graphs = Source(broker, "windows"), Source(broker, "graphs")

    @property
    def has_work(self) -> bool:
        return any(source.n_waiting for source in (*self._ticks, self._windows, self._graphs))

    async def take_ticks(self, *n_messages: int) -> None:
        pairs = enumerate(zip(self._ticks, n_messages, strict=True))
        events = {partition: source.next_events(n) for partition, (source, n) in pairs}
        await self.windows.process_all({partition: found for partition, found in events.items() if found})

    async def take_windows(self, n: int) -> None:
        if events := self._windows.next_events(n):
            await self.graphs.process(0, events)

    async def take_graphs(self, n: int) -> None:
        if events := self._graphs.next_events(n):
            await self.scoring.process(0, events)

    async def move(self, move: Move) -> None:
        """Let one stage have its turn, with checkpoints due or not."""
        name, n, other, is_due = move
        checkpoints.INTERVAL_S = 0.0 if is_due else 1e9  # type: ignore[misc]  # as fixtures do
        if name == "ticks":
            await self.take_ticks(n, other)
        elif name == "windows":
            await self.take_windows(n)
        elif name == "graphs":
            await self.take_graphs(n)
        elif name == "prepare":
            self.graphs.prepare_next()
        else:
            for stage in (self.windows, self.graphs, self.scoring):
                await stage.tick()
