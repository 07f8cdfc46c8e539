"""What a run from a cold start begins with: the data that it replays, and a broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from pipeline.errors import ConfigError
from replay.sources.base import Selection, Source
from replay.sources.open import open_sources
from replay.sources.relations import Relations, read_relations
from topics.embedded import NOTICE, EmbeddedBroker
from topics.security import without_security


def open_data(
    paths: Sequence[str], symbols: frozenset[str] | None, sectors: Path | None
) -> tuple[list[Source], Relations | None]:
    """Return the sources to replay, and the relations of a file if one is given.

    Raises
    ------
    ConfigError
        None of the selected symbols is there.
    replay.errors.ReplayError
        A file is not as needed.
    """
    sources = open_sources(paths, Selection(symbols=symbols))
    if not sources:
        raise ConfigError(f"no selected symbol is in {', '.join(paths)}")
    return sources, None if sectors is None else read_relations(sectors)


@contextmanager
def broker_at(bootstrap: str | None, console: Console) -> Iterator[str]:
    """Yield the address of a broker: the given one, else an embedded one that is stopped at the end.

    Raises
    ------
    topics.errors.TopicError
        The embedded broker does not start, or does not end.
    """
    if bootstrap is not None:
        yield bootstrap
        return
    with without_security(), EmbeddedBroker() as broker:
        console.print(f"{NOTICE}: {broker.bootstrap}", highlight=False)
        yield broker.bootstrap
