"""What can go wrong with a registry, as one tree under `pipeline.errors.PipelineError`.

RegistryError
├── RegistryNotFoundError (LookupError)   no such model, activation or location
├── RegistryTamperedError (ValueError)    bytes that are not what their hash says, or a record that cannot be read
├── RegistryFullError                     the disk or the quota is used up; nothing became active
└── ActivationConflictError               another activation came first
"""

from __future__ import annotations

from pipeline.errors import PipelineError


class RegistryError(PipelineError):
    """A registry cannot do what it was asked; nothing is half done."""


class RegistryNotFoundError(RegistryError, LookupError):
    """There is no such model or activation."""


class RegistryTamperedError(RegistryError, ValueError):
    """What is stored is not what was written."""


class RegistryFullError(RegistryError):
    """The disk, or the quota, has no room; nothing was activated."""


class ActivationConflictError(RegistryError):
    """Another activation of the same universe and role came first.

    Attributes
    ----------
    seq
        The number that both wanted, or the one that is in force.
    """

    def __init__(self, message: str, *, seq: int) -> None:
        super().__init__(message)
        self.seq = seq
