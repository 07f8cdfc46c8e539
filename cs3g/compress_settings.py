"""The settings of `cs3g compress`: the defaults, a TOML file's changes, the options' changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cs3g.fitting import read_settings
from cs3g_model.compression.settings import CompressConfig
from cs3g_model.config import DistillConfig, TrainConfig
from cs3g_model.errors import ConfigError

__all__ = ["read_compress_settings"]

_OF_OPTIONS = ("width", "state_size", "rank", "activations")
_OF_TABLES = ("tune", "quantize", "distill")


def read_compress_settings(
    path: Path | None,
    *,
    sizes: dict[str, int | None],
    seed: int,
    tune_epochs: int | None = None,
    quantize_epochs: int | None = None,
    activations: bool = False,
) -> CompressConfig:
    """Put together how a student is compressed.

    Parameters
    ----------
    path
        TOML with tables [compress], [tune], [quantize] and [distill]; None for none.
    sizes
        Width, state size and rank after pruning; None keeps the student's.
    seed
        Of both fits.
    tune_epochs, quantize_epochs
        Of the fits; None for the file's or the defaults, 0 of the latter for rounding without training.
    activations
        Round inputs as well.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML, or names an unknown table or setting, or one of the wrong type.
    """
    changes = read_settings(
        path,
        {"compress": CompressConfig, "tune": TrainConfig, "quantize": TrainConfig, "distill": DistillConfig},
    )
    for name in (*_OF_OPTIONS, *_OF_TABLES):
        if name in changes["compress"]:
            what = f"table [{name}]" if name in _OF_TABLES else "an option of the command"
            raise ConfigError(f"{path}, table [compress]: `{name}` is {what}, not a setting of it")
    defaults = CompressConfig()
    values: dict[str, Any] = msgspec.to_builtins(defaults) | changes["compress"]
    values |= {"activations": activations, **sizes}
    epochs = {"tune": tune_epochs, "quantize": quantize_epochs}
    for name, count in epochs.items():
        values[name] |= changes[name] | {"seed": seed} | ({} if count is None else {"epochs": count})
    values["distill"] |= changes["distill"]
    if quantize_epochs == 0:
        values["quantize"] = None
    return msgspec.convert(values, CompressConfig)
