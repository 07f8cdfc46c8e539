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

from pipeline.registry.activations import Activations, before_the_last
from pipeline.registry.artifacts import Artifacts, Entry, checked_manifest
from pipeline.registry.catalog import list_models, resolve_model
from pipeline.registry.errors import RegistryError, RegistryNotFoundError
from pipeline.registry.job_results import JobResults
from pipeline.registry.lineages import Lineages
from pipeline.registry.location import default_cache_folder
from pipeline.registry.records import (
    Activation,
    Lineage,
    encode_record,
    require_identifier,
    require_role,
)
from pipeline.registry.store import Store
from topics.types import Role

__all__ = ["Registry"]


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
        self._lineages = Lineages(self._store, self._artifacts)
        self._activations = Activations(self._store)
        self._job_results = JobResults(self._store)
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
        self._lineages.record(record)
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
        return resolve_model(self._artifacts, prefix, self.url)

    def list(self, unusable: MutableSequence[Exception] | None = None) -> Sequence[Entry]:
        """Return the models, the registry's own and the shipped ones, by role and id.

        Parameters
        ----------
        unusable
            Takes the errors of models that cannot be used; None to raise the first of them.
        """
        return list_models(self._artifacts, unusable)

    def lineage(self, model_id: str) -> Lineage:
        """Return how a model came to be; of a shipped one what its manifest tells.

        Raises
        ------
        RegistryNotFoundError
            There is no such model.
        """
        return self._lineages.of(model_id)

    def ancestry(self, model_id: str) -> Sequence[Lineage]:
        """Return a model's lineage and those of its parents as far as they are known, the model's own first."""
        return self._lineages.ancestry(model_id)

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
        wanted = Activation(
            universe=universe,
            role=role,
            seq=1,
            model_id=model_id,
            sha256="",
            since_ts_close=since_ts_close,
            job_id=job_id,
            detail=detail,
        )
        return self._append(wanted, expected_seq=expected_seq, any_role=any_role)

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
        before = before_the_last(history)
        if before is None:
            raise RegistryNotFoundError(
                f"nothing served {universe}/{role} before: activate a model of `cs3g models list` instead"
            )
        wanted = Activation(
            universe=universe,
            role=role,
            seq=1,
            model_id=before.model_id,
            sha256="",
            since_ts_close=since_ts_close,
            detail=detail or f"rolled back from {history[-1].model_id}",
            restores_seq=before.seq,
        )
        seen_seq = history[-1].seq if expected_seq is None else expected_seq
        return self._append(wanted, expected_seq=seen_seq, any_role=True)

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
        return self._job_results.record(job_id, result)

    def job(self, job_id: str) -> dict[str, Any] | None:
        """Return a job's result, None if it has none yet."""
        return self._job_results.of(job_id)

    def _append(self, wanted: Activation, *, expected_seq: int | None, any_role: bool) -> Activation:
        """Check and write an activation; its number, hash and time are filled in."""
        require_identifier("universe", wanted.universe)
        require_role(wanted.role)
        manifest = checked_manifest(self.get(wanted.model_id), wanted.model_id)
        if manifest.role != wanted.role and not any_role:
            raise RegistryError(f"model {wanted.model_id!r} is a {manifest.role}, a {wanted.role} is needed")
        wanted = msgspec.structs.replace(wanted, sha256=manifest.weights_sha256, created_ns=self._clock())
        encode_record(wanted)  # before anything is looked up: an argument that breaks its rule is no conflict
        return self._activations.append(wanted, expected_seq=expected_seq)
