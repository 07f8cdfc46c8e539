"""Which schema several sources share, and how records of a narrower one become records of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from replay.errors import SchemaMismatch
from topics.ticks import TRADES_DTYPE, tick_schema
from topics.types import UNDEF_PRICE, RecordArray

_TRADES_AND_QUOTES: Final = frozenset(("trades", "tbbo", "mbp-1"))


def common_schema(names: Sequence[tuple[str, str]]) -> str:
    """Return the one schema that a partition carries for all sources.

    Parameters
    ----------
    names
        (source, schema) of every source.

    Raises
    ------
    SchemaMismatch
        Schemas that no single one can carry, bars and trades for instance.
    """
    schemas = {schema for _, schema in names}
    if len(schemas) == 1:
        return schemas.pop()
    if schemas <= _TRADES_AND_QUOTES:
        return "mbp-1"
    one = {schema: source for source, schema in names}
    listed = "; ".join(f"{schema} in {one[schema]}" for schema in sorted(schemas))
    raise SchemaMismatch(f"the sources hold {listed}: a replay carries one schema, so replay them one by one")


def promote(records: RecordArray, schema_name: str) -> RecordArray:
    """Return records in a schema that `common_schema` chose; trades get an undefined bid and ask.

    Raises
    ------
    SchemaMismatch
        The records are neither of that schema nor trades.
    """
    schema = tick_schema(schema_name)
    if records.dtype == schema.dtype:
        return records
    if records.dtype != TRADES_DTYPE or schema_name not in _TRADES_AND_QUOTES:
        raise SchemaMismatch(f"records of {records.dtype.names} cannot become {schema_name}")
    wide: RecordArray = np.zeros(len(records), dtype=schema.dtype)
    for name in TRADES_DTYPE.names or ():
        wide[name] = records[name]
    wide["length"], wide["rtype"] = schema.length, schema.rtype
    wide["bid_px_00"] = wide["ask_px_00"] = UNDEF_PRICE
    return wide
