"""The registry: artifacts by content, their lineage, what is active, and the results of jobs.

    artifacts/<model_id>/{model.safetensors,manifest.json}   the manifest last: with it the model is there
    lineage/<model_id>.json                                  created once
    activations/<universe>/<role>/<seq>.json                 created once; the highest number serves
    jobs/<job_id>.json                                       created once

Nothing is changed in place but an artifact that is added again, to the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cs3g_model.artifacts import SHIPPED, list_artifacts
from pipeline.registry.activations import Activations
from pipeline.registry.artifacts import Artifacts, Entry, checked_manifest
from pipeline.registry.errors import RegistryError, RegistryNotFoundError, RegistryTamperedError
from pipeline.registry.location import default_cache_folder
from pipeline.registry.records import (
    MAX_RECORD_BYTES,
    Activation,
    Lineage,
    decode_record,
    encode_record,
    require_identifier,
    require_role,
)
from pipeline.registry.store import Store
from topics.types import Role

__all__ = ["Entry", "Registry"]

_MIN_PREFIX = 4


class Registry:
    """Models, their lineage and activations below one url.

    Several processes may use one at once; each of its files is written by exactly one of them.

    Parameters
    ----------
    url
        A folder, or any url that fsspec takes, such as `s3://bucket/prefix`. Nothing is made before it is needed.
    cache
        Folder for checked copies of what a remote registry holds; None for the user's cache.
    clock
        ns since the UNIX epoch.

    Raises
    ------
    RegistryError
        The url cannot be used.

    Examples
    --------
    >>> registry = Registry("models")  # doctest: +SKIP
    >>> model_id = registry.add(Path("out/0123456789abcdef"))  # doctest: +SKIP
    >>> registry.activate("default", "student", model_id, since_ts_close=0).seq  # doctest: +SKIP
    1
    """

    def __init__(
        self, url: str | Path, *, cache: Path | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._store = Store(url)
        self._artifacts = Artifacts(self._store, cache if cache is not None else default_cache_folder())
        self._activations = Activations(self._store)
        self._clock = clock

    @property
    def url(self) -> str:
        """Where it is."""
        return self._store.url

    def add(self, folder: Path, lineage: Lineage | None = None) -> str:
        """Take in an artifact and how it came to be; adding it again changes nothing.

        Parameters
        ----------
        folder
            Of `model.safetensors` and `manifest.json`.
        lineage
            None for what the manifest tells. The first lineage of a model stays.

        Returns
        -------
        The model's id.

        Raises
        ------
        RegistryTamperedError, RegistryNotFoundError
            The folder is no sound artifact.
        RegistryFullError
            There is no room; the model is not there then.
        RegistryError
            The lineage is another model's.
        """
        model_id = checked_manifest(folder).model_id
        if lineage is not None and lineage.model_id != model_id:
            raise RegistryError(f"the lineage is of model {lineage.model_id!r}, {folder} is {model_id!r}")
        manifest = self._artifacts.add(folder)
        record = lineage or Lineage(model_id=model_id, parent_id=manifest.parent_id, seed=manifest.seed)
        if not record.created_ns:
            record = msgspec.structs.replace(record, created_ns=self._clock())
        self._store.create(_lineage_name(model_id), encode_record(record))
        return model_id

    def get(self, model_id: str) -> Path:
        """Return a local folder of a model, in the registry or shipped, whose hashes were checked just now.

        Raises
        ------
        RegistryNotFoundError
            There is no such model.
        RegistryTamperedError
            Its files are not what their hashes say.
        """
        return self._artifacts.get(model_id)

    def resolve(self, prefix: str) -> str:
        """Return the id of the only model that begins so; an id itself needs no look into the registry.

        Raises
        ------
        RegistryNotFoundError
            There is none.
        RegistryError
            There are several.
        """
        require_identifier("model_id", prefix)
        known = {*self._artifacts.ids(), *(path.name for path, _ in list_artifacts(SHIPPED))}
        found = sorted(name for name in known if name.startswith(prefix)) if prefix not in known else [prefix]
        if len(prefix) < _MIN_PREFIX or not found:
            raise RegistryNotFoundError(
                f"no model {prefix!r} in {self.url}: give an id of `cs3g models list`,"
                f" or at least {_MIN_PREFIX} digits of one"
            )
        if len(found) > 1:
            raise RegistryError(f"{prefix!r} is ambiguous in {self.url}: {', '.join(found)}")
        return found[0]

    def list(self, unusable: MutableSequence[Exception] | None = None) -> Sequence[Entry]:
        """Return the models, the registry's own and the shipped ones, by role and id.

        Parameters
        ----------
        unusable
            Takes the errors of models that cannot be used; None to raise the first of them.
        """
        entries = {
            manifest.model_id: Entry(manifest, str(path), "shipped")
            for path, manifest in list_artifacts(SHIPPED)
        }
        for model_id in self._artifacts.ids():
            try:
                entries.setdefault(model_id, self._artifacts.entry(model_id))
            except RegistryError as error:
                if unusable is None:
                    raise
                unusable.append(error)
        return sorted(entries.values(), key=lambda entry: (entry.manifest.role, entry.model_id))

    def lineage(self, model_id: str) -> Lineage:
        """Return how a model came to be; of a shipped one what its manifest tells.

        Raises
        ------
        RegistryNotFoundError
            There is no such model.
        """
        name = _lineage_name(model_id)
        try:
            data = self._store.read(name, MAX_RECORD_BYTES)
        except RegistryNotFoundError:
            manifest = checked_manifest(self.get(model_id))
            return Lineage(model_id=model_id, parent_id=manifest.parent_id, seed=manifest.seed)
        record = decode_record(data, Lineage, self._store.location(name))
        if record.model_id != model_id:
            raise RegistryTamperedError(f"{self._store.location(name)} is of model {record.model_id!r}")
        return record

    def ancestry(self, model_id: str) -> Sequence[Lineage]:
        """Return a model's lineage and those of its parents as far as they are known, the model's own first."""
        found = [self.lineage(model_id)]
        seen = {model_id}
        while (parent := found[-1].parent_id) is not None and parent not in seen:
            seen.add(parent)
            try:
                found.append(self.lineage(parent))
            except RegistryNotFoundError:
                break
        return found

    def active(self, universe: str, role: Role) -> Activation | None:
        """Return the activation in force, None if there never was one."""
        return self._activations.active(universe, role)

    def history(self, universe: str, role: Role) -> Sequence[Activation]:
        """Return all activations of a universe and role, oldest first."""
        return self._activations.history(universe, role)

    def served(self) -> Sequence[tuple[str, Role]]:
        """Return the universes and roles that have been activated, sorted."""
        return self._activations.served()

    def activate(
        self,
        universe: str,
        role: Role,
        model_id: str,
        *,
        since_ts_close: int = 0,
        job_id: str | None = None,
        expected_seq: int | None = None,
        detail: str = "",
        any_role: bool = False,
    ) -> Activation:
        """Make a model serve a universe in a role, whole or not at all; nothing is announced by this.

        Parameters
        ----------
        since_ts_close
            It serves windows that end after it, ns; 0 for as soon as it is known.
        job_id
            The job that made the model: however often it activates, its first activation is returned.
        expected_seq
            Number of the activation that must be in force, 0 for none; None for whichever is.
        any_role
            The model may be of the other role.

        Raises
        ------
        RegistryNotFoundError, RegistryTamperedError
            There is no such model, or its files are not what their hashes say.
        ActivationConflictError
            Another activation came first.
        RegistryFullError
            There is no room; what was active stays active.
        RegistryError
            The model is of the other role, or an argument breaks its rule.
        """
        return self._append(
            universe,
            role,
            model_id,
            since_ts_close=since_ts_close,
            job_id=job_id,
            expected_seq=expected_seq,
            detail=detail,
            any_role=any_role,
        )

    def rollback(
        self,
        universe: str,
        role: Role,
        *,
        since_ts_close: int = 0,
        expected_seq: int | None = None,
        detail: str = "",
    ) -> Activation:
        """Activate again what was active before the activation in force; repeated, it goes further back.

        Parameters
        ----------
        since_ts_close, expected_seq
            As in `activate`.

        Raises
        ------
        RegistryNotFoundError
            Nothing was active before.
        RegistryError
            As of `activate`.
        """
        history = self.history(universe, role)
        by_seq = {activation.seq: activation for activation in history}
        # A rollback stands where the activation that it restores stood.
        at = history[-1] if history else None
        while at is not None and at.restores_seq is not None:
            at = by_seq.get(at.restores_seq)
        before = by_seq.get(at.seq - 1) if at is not None else None
        while before is not None and before.restores_seq is not None:
            before = by_seq.get(before.restores_seq)
        if before is None:
            raise RegistryNotFoundError(
                f"nothing served {universe}/{role} before: activate a model of `cs3g models list` instead"
            )
        return self._append(
            universe,
            role,
            before.model_id,
            since_ts_close=since_ts_close,
            job_id=None,
            expected_seq=history[-1].seq if expected_seq is None else expected_seq,
            detail=detail or f"rolled back from {history[-1].model_id}",
            any_role=True,
            restores_seq=before.seq,
        )

    def record_job(self, job_id: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write a job's result unless it has one; return the one that stands, the first.

        Parameters
        ----------
        result
            What JSON can hold.

        Raises
        ------
        RegistryFullError
            There is no room; the job has no result then.
        """
        name = _job_name(job_id)
        data = msgspec.json.format(msgspec.json.encode(dict(result), order="sorted"), indent=2) + b"\n"
        if self._store.create(name, data):
            stands: dict[str, Any] = msgspec.json.decode(data)
            return stands
        found = self.job(job_id)
        if found is None:
            raise RegistryError(f"{self._store.location(name)} was removed while it was read")
        return found

    def job(self, job_id: str) -> dict[str, Any] | None:
        """Return a job's result, None if it has none yet."""
        name = _job_name(job_id)
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

    def _append(
        self,
        universe: str,
        role: Role,
        model_id: str,
        *,
        since_ts_close: int,
        job_id: str | None,
        expected_seq: int | None,
        detail: str,
        any_role: bool,
        restores_seq: int | None = None,
    ) -> Activation:
        require_identifier("universe", universe)
        require_role(role)
        manifest = checked_manifest(self.get(model_id), model_id)
        if manifest.role != role and not any_role:
            raise RegistryError(f"model {model_id!r} is a {manifest.role}, a {role} is needed")
        wanted = Activation(
            universe=universe,
            role=role,
            seq=1,
            model_id=model_id,
            sha256=manifest.weights_sha256,
            since_ts_close=since_ts_close,
            job_id=job_id,
            detail=detail,
            restores_seq=restores_seq,
            created_ns=self._clock(),
        )
        encode_record(wanted)  # before anything is looked up: an argument that breaks its rule is no conflict
        return self._activations.append(wanted, expected_seq=expected_seq)


def _lineage_name(model_id: str) -> str:
    return f"lineage/{require_identifier('model_id', model_id)}.json"


def _job_name(job_id: str) -> str:
    return f"jobs/{require_identifier('job_id', job_id)}.json"
