"""Activations of one registry: numbered without gaps, each created by exactly one writer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from pipeline.registry.errors import ActivationConflictError, RegistryError, RegistryNotFoundError
from pipeline.registry.records import (
    MAX_RECORD_BYTES,
    Activation,
    decode_record,
    encode_record,
    require_identifier,
    require_role,
)
from pipeline.registry.store import Store
from topics.types import Role

FOLDER: Final = "activations"
_NUMBERED: Final = re.compile(r"([0-9]{8})\.json")


class Activations:
    """What serves each universe and role, and what did before."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def active(self, universe: str, role: Role) -> Activation | None:
        """Return the activation in force, None if there never was one."""
        numbers = self._numbers(universe, role)
        return self._read(universe, role, numbers[-1]) if numbers else None

    def history(self, universe: str, role: Role) -> list[Activation]:
        """Return all activations, oldest first."""
        return [self._read(universe, role, number) for number in self._numbers(universe, role)]

    def served(self) -> list[tuple[str, Role]]:
        """Return the universes and roles that have been activated, sorted."""
        return [
            (universe, role)
            for universe in self._store.names(FOLDER)
            for role in ("student", "teacher")
            if self._numbers(universe, role)
        ]

    def append(self, wanted: Activation, *, expected_seq: int | None) -> Activation:
        """Write an activation under the next number.

        Parameters
        ----------
        wanted
            Its `seq` is replaced.
        expected_seq
            Number of the activation that must be in force, 0 for none; None for whichever is.

        Returns
        -------
        What was written, or what the same job had activated before.

        Raises
        ------
        ActivationConflictError
            Another activation came first.
        RegistryFullError
            There is no room; what was active stays active.
        """
        history = self.history(wanted.universe, wanted.role)
        mine = _by_job(history, wanted.job_id)
        if mine is not None:
            return mine
        last = history[-1].seq if history else 0
        if expected_seq is not None and expected_seq != last:
            raise ActivationConflictError(
                f"activation {last} of {wanted.universe}/{wanted.role} is in force, not {expected_seq}:"
                " look at `cs3g models list` and decide again",
                seq=last,
            )
        activation = msgspec.structs.replace(wanted, seq=last + 1)
        if self._store.create(_name(activation), encode_record(activation)):
            return activation
        # Between the look and the write somebody else came first; the same job's other worker may have been it.
        mine = _by_job(self.history(wanted.universe, wanted.role), wanted.job_id)
        if mine is not None:
            return mine
        raise ActivationConflictError(
            f"another activation of {wanted.universe}/{wanted.role} took number {activation.seq} at the same"
            " time: look at `cs3g models list` and decide again",
            seq=activation.seq,
        )

    def _numbers(self, universe: str, role: Role) -> list[int]:
        folder = f"{FOLDER}/{require_identifier('universe', universe)}/{require_role(role)}"
        found = (_NUMBERED.fullmatch(name) for name in self._store.names(folder))
        return sorted(int(match[1]) for match in found if match)

    def _read(self, universe: str, role: Role, number: int) -> Activation:
        name = f"{FOLDER}/{universe}/{role}/{number:08d}.json"
        try:
            data = self._store.read(name, MAX_RECORD_BYTES)
        except RegistryNotFoundError as error:
            raise RegistryError(f"{self._store.location(name)} was removed while it was read") from error
        activation = decode_record(data, Activation, self._store.location(name))
        if (activation.universe, activation.role, activation.seq) != (universe, role, number):
            raise RegistryError(
                f"{self._store.location(name)} is activation {activation.seq} of"
                f" {activation.universe}/{activation.role}: it was put in the wrong place"
            )
        return activation


def before_the_last(history: Sequence[Activation]) -> Activation | None:
    """Return the activation that a rollback restores, None if there is none before the one in force.

    Parameters
    ----------
    history
        All activations of one universe and role, oldest first.
    """
    by_seq = {activation.seq: activation for activation in history}

    def restored(activation: Activation | None) -> Activation | None:
        # A rollback stands where the activation that it restores stood.
        while activation is not None and activation.restores_seq is not None:
            activation = by_seq.get(activation.restores_seq)
        return activation

    in_force = restored(history[-1] if history else None)
    return None if in_force is None else restored(by_seq.get(in_force.seq - 1))


def _name(activation: Activation) -> str:
    return f"{FOLDER}/{activation.universe}/{activation.role}/{activation.seq:08d}.json"


def _by_job(history: list[Activation], job_id: str | None) -> Activation | None:
    if job_id is None:
        return None
    return next((activation for activation in history if activation.job_id == job_id), None)
