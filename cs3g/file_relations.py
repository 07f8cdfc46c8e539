"""The relations that a model is fitted to read: those of its settings, else the usual ones and all of the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from cs3g_model.config import StudentConfig, TeacherConfig
from cs3g_model.constants import SECTOR
from cs3g_model.errors import ConfigError
from topics.runs import MADE_RELATIONS, GraphRun

__all__ = ["reading_relations"]

Model = TypeVar("Model", bound=TeacherConfig | StudentConfig)


def reading_relations(model: Model, changes: Mapping[str, Any], run: GraphRun) -> Model:
    """Return a model's settings with the relations that it is to read of a run.

    Where the settings file does not name them, they are the default ones and every relation of edges that the
    relations file tells, such as supply or shareholder: a file is given to be read. Those stand in the middle, so
    that the heads of a teacher's graph start out leaning to the same relations with and without them.

    Parameters
    ----------
    model
        Settings so far.
    changes
        What the settings file's table [model] says.
    run
        The snapshots that the model is fitted to.

    Raises
    ------
    ConfigError
        If the settings name a relation that the snapshots cannot have.
    """
    told = [name for name, _ in run.relations if name not in MADE_RELATIONS]
    if "relations" not in changes:
        usual = model.relations
        return msgspec.structs.replace(model, relations=(*usual[:1], *told, *usual[1:]))
    unknown = [name for name in model.relations if name not in (SECTOR, *MADE_RELATIONS, *told)]
    if unknown:
        raise ConfigError(
            f"[model] relations names {', '.join(unknown)}, which the relations file does not tell of the panel's"
            f" instruments; known here are {', '.join((SECTOR, *MADE_RELATIONS, *told))}"
        )
    return model
