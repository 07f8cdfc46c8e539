"""Where a report's numbers come from: enough to get them again."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cs3g.ab.market import Market
from cs3g.ab.settings import AbSettings

__all__ = ["Provenance", "code_commit", "package_version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What was compared on, and by what.

    Attributes
    ----------
    sources
        Names of the data.
    data_digest
        `sha256:<hex>` of the replayed ticks or of the archived snapshots.
    config_hash
        Of the pipeline's settings that can change a result.
    settings
        Of the statistics.
    extra
        More that the run knows, such as the digest of all predictions.
    """

    sources: tuple[str, ...]
    data_digest: str
    config_hash: str
    settings: AbSettings
    extra: dict[str, Any] = field(default_factory=dict)

    def manifest(self, market: Market) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "package": "cs3g",
            "version": package_version(),
            "commit": code_commit(),
            "sources": list(self.sources),
            "data_digest": self.data_digest,
            "config_hash": self.config_hash,
            "window_size_ns": market.size_ns,
            "windows": len(market.ts_close),
            "instruments": len(market.symbols),
            "first_ts_close": int(market.ts_close[0]),
            "last_ts_close": int(market.ts_close[-1]),
            "settings": asdict(self.settings),
            **self.extra,
        }


def package_version() -> str | None:
    """Return the version of the installed package, None where it is not installed."""
    try:
        return version("cs3g")
    except PackageNotFoundError:
        return None


@functools.cache
def code_commit() -> str | None:
    """Return the commit of the checkout that runs, with "-dirty" where it was changed; None for no checkout.

    Looked up once, so that all reports of a process say the same.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
