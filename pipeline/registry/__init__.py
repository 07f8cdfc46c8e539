"""Models with their lineage, and which of them serves: a folder or an object store."""

from pipeline.registry.artifacts import Entry
from pipeline.registry.errors import (
    ActivationConflictError,
    RegistryError,
    RegistryFullError,
    RegistryNotFoundError,
    RegistryTamperedError,
)
from pipeline.registry.location import default_registry_url
from pipeline.registry.records import Activation, Lineage
from pipeline.registry.registry import Registry

__all__ = [
    "Activation",
    "ActivationConflictError",
    "Entry",
    "Lineage",
    "Registry",
    "RegistryError",
    "RegistryFullError",
    "RegistryNotFoundError",
    "RegistryTamperedError",
    "default_registry_url",
]
