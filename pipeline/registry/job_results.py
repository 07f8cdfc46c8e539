"""The results of jobs in one registry: of several that report on a job, the first one's stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipeline.registry.errors import RegistryError, RegistryNotFoundError, RegistryTamperedError
from pipeline.registry.records import MAX_RECORD_BYTES, require_identifier
from pipeline.registry.store import Store

FOLDER: Final = "jobs"


class JobResults:
    """Results by job, each created once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, job_id: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write a job's result unless it has one; return the one that stands, the first.

        Parameters
        ----------
        result
            What JSON can hold.

        Raises
        ------
        RegistryFullError
            There is no room; the job has no result then.
        RegistryTamperedError
            What stands is no result.
        """
        name = _name(job_id)
        data = msgspec.json.format(msgspec.json.encode(dict(result), order="sorted"), indent=2) + b"\n"
        if self._store.create(name, data):
            stands: dict[str, Any] = msgspec.json.decode(data)
            return stands
        found = self.of(job_id)
        if found is None:
            raise RegistryError(f"{self._store.location(name)} was removed while it was read")
        return found

    def of(self, job_id: str) -> dict[str, Any] | None:
        """Return a job's result, None if it has none yet.

        Raises
        ------
        RegistryTamperedError
            What is there is no result.
        """
        name = _name(job_id)
        try:
            data = self._store.read(name, MAX_RECORD_BYTES)
        except RegistryNotFoundError:
            return None
        try:
            result: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RegistryTamperedError(
                f"{self._store.location(name)} is no job's result: {error}"
            ) from error
        return result


def _name(job_id: str) -> str:
    return f"{FOLDER}/{require_identifier('job_id', job_id)}.json"
