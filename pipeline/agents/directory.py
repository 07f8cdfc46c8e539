"""Names, sectors and relations of the universe, read from the instruments topic when an unknown instrument ticks."""

from __future__ import annotations

import logging

from pipeline.config import PipelineConfig
from pipeline.graph_config import InstrumentDirectory
from topics.control import Instrument
from topics.directory import InstrumentDirectory as AnnouncedInstruments
from topics.types import UInt32Array

logger = logging.getLogger(__name__)


class Directory:
    """What is known of the universe's instruments; mutates self.

    Instruments are announced, and acknowledged, before their first tick, so reading the topic once more to its
    end tells all that there is to know of an id.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self._config = config
        self._announced: dict[int, Instrument] = {}
        self._value = InstrumentDirectory(symbols={}, sectors={})

    async def describe(self, instrument_ids: UInt32Array) -> InstrumentDirectory:
        """Return a directory that holds all these instruments.

        One that was never announced gets its id as its name and no sector, for a producer of plain ticks.
        """
        wanted = set(instrument_ids.tolist())
        if not wanted <= self._value.symbols.keys():
            await self._refresh(wanted)
        return self._value

    async def _refresh(self, wanted: set[int]) -> None:
        config = self._config
        async with AnnouncedInstruments(config.bootstrap_servers, prefix=config.topic_prefix) as topic:
            await topic.refresh()
            self._announced.update(topic.known)
        unnamed = sorted(
            wanted - {number for number, found in self._announced.items() if self._is_ours(found)}
        )
        if unnamed:
            logger.warning(
                "%d instruments tick unannounced, %d for one: they go by their ids, without a sector",
                len(unnamed),
                unnamed[0],
            )
        plain = {
            number: Instrument(instrument_id=number, symbol=f"#{number}", universe=config.universe)
            for number in {*unnamed, *self._value.symbols}
        }
        self._value = InstrumentDirectory.from_instruments(
            {**plain, **{n: i for n, i in self._announced.items() if self._is_ours(i)}}.values(),
            config.universe,
        )

    def _is_ours(self, instrument: Instrument) -> bool:
        return instrument.universe == self._config.universe
