"""Where the registry and the local copies of a remote one are, unless a setting says otherwise."""

from __future__ import annotations

import os
from pathlib import Path


def default_registry_url() -> str:
    """Return the folder `cs3g/registry` among the user's data files (`XDG_DATA_HOME`)."""
    return str(_base("XDG_DATA_HOME", ".local/share") / "cs3g" / "registry")


def default_cache_folder() -> Path:
    """Return the folder `cs3g/models` among the user's cached files (`XDG_CACHE_HOME`)."""
    return _base("XDG_CACHE_HOME", ".cache") / "cs3g" / "models"


def _base(variable: str, below_home: str) -> Path:
    # The specification wants relative values ignored.
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / below_home
