"""A fit on disk, so that it can be killed at any moment and go on: safetensors and JSON, never a pickle.

Each rank writes its tensors to a file of their own; then `fit.json`, which names these files with their
SHA-256 and holds the rest, is renamed into place. So the folder holds a whole checkpoint at any moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as _load
from safetensors.numpy import save as _save
from torch import Tensor, nn

from cs3g_model.config import TrainConfig
from cs3g_model.dataset import LabeledSnapshots
from cs3g_model.errors import CheckpointError
from cs3g_model.training.files import write_whole
from cs3g_model.training.ranks import Ranks

__all__ = ["CHECKPOINT_VERSION", "fingerprint", "has_checkpoint", "read_checkpoint", "write_checkpoint"]

CHECKPOINT_VERSION: Final = 1
_INDEX: Final = "fit.json"
_TENSOR: Final = "$tensor"
_ARRAY: Final = "$array"

Arrays = dict[str, NDArray[Any]]


def write_checkpoint(folder: Path, value: dict[str, Any], mark: str, identity: str, ranks: Ranks) -> None:
    """Write what a fit consists of; all ranks at once.

    Parameters
    ----------
    folder
        Created if absent; it must be the same folder for all ranks. Older checkpoints in it are removed.
    value
        Nested dicts with string keys, and lists, of tensors, NumPy arrays and JSON values.
    mark
        Tells this checkpoint's files from those of the one before, which is still whole.
    identity
        The fit's `fingerprint`.
    ranks
        Who writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: Arrays = {}
    skeleton = _flatten(value, "", arrays)
    name = f"rank{ranks.rank}-{mark}.safetensors"
    data = bytes(_save(arrays, metadata={"format": "cs3g-fit"}))
    write_whole(folder / name, data)
    own = {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "value": skeleton}
    parts = ranks.gather_json(own)
    if ranks.rank == 0:
        index = {"version": CHECKPOINT_VERSION, "identity": identity, "ranks": parts}
        write_whole(folder / _INDEX, json.dumps(index, allow_nan=False).encode())
    ranks.barrier()  # nobody removes an old file before the new index is there
    for old in folder.glob(f"rank{ranks.rank}-*.safetensors"):
        if old.name != name:
            old.unlink()


def read_checkpoint(folder: Path, identity: str, ranks: Ranks) -> dict[str, Any]:
    """Read this rank's part of a checkpoint; see `has_checkpoint`.

    Raises
    ------
    CheckpointError
        If it is unreadable, of another version, of another fit, or not what was written.
    """
    path = folder / _INDEX
    try:
        index = json.loads(path.read_bytes())
        version, written, parts = index["version"], index["identity"], index["ranks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no checkpoint of a fit: {error}") from error
    if version != CHECKPOINT_VERSION:
        raise CheckpointError(
            f"{path}: `version` (={version!r}) must be {CHECKPOINT_VERSION}: start anew in another folder"
        )
    if written != identity or len(parts) != ranks.size:
        raise CheckpointError(
            f"{folder} holds the checkpoint of another fit: its data, settings, model, seed, device or "
            "number of ranks differ. Give the options of that fit, or another folder"
        )
    part = parts[ranks.rank]
    try:
        data = (folder / part["file"]).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{folder / part['file']} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != part["sha256"]:
        raise CheckpointError(
            f"{folder / part['file']} has sha256 {digest}, {path.name} says {part['sha256']}: start anew"
        )
    try:
        value = _restore(part["value"], _load(data))
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{folder / part['file']} is no safetensors file: {error}") from error
    return dict(value)


def has_checkpoint(folder: Path) -> bool:
    """Return whether a folder holds a checkpoint."""
    return (folder / _INDEX).is_file()


def fingerprint(
    settings: TrainConfig,
    data: LabeledSnapshots,
    model: nn.Module,
    extra: list[str],
) -> str:
    """Return the SHA-256 of what decides a fit: settings, data, the model before training, and `extra`."""
    kind = [type(model).__name__, repr(getattr(model, "config", None))]
    digest = hashlib.sha256(msgspec.json.encode([settings, extra, kind], order="sorted"))
    for field in fields(data.snapshots):
        _digest_array(digest.update, getattr(data.snapshots, field.name))
    _digest_array(digest.update, data.labels)
    digest.update(repr((data.train_stop, data.valid_stop)).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        _digest_array(digest.update, tensor.detach().cpu().numpy())
    return digest.hexdigest()


def _digest_array(update: Callable[[bytes], None], value: Any) -> None:
    if isinstance(value, np.ndarray):
        update(f"{value.dtype} {value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    else:
        update(repr(value).encode())


def _flatten(value: Any, name: str, arrays: Arrays) -> Any:
    # Tensors go to `arrays` under the path at which they were found; the rest stays as JSON.
    if isinstance(value, Tensor):
        arrays[name] = np.array(value.detach().cpu().numpy(), order="C")
        return {_TENSOR: name}
    if isinstance(value, np.ndarray):
        arrays[name] = np.array(value, order="C")
        return {_ARRAY: name}
    if isinstance(value, dict):
        return {key: _flatten(part, f"{name}/{key}", arrays) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_flatten(part, f"{name}/{i}", arrays) for i, part in enumerate(value)]
    return value


def _restore(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            return torch.tensor(arrays[value[_TENSOR]])
        if _ARRAY in value:
            return arrays[value[_ARRAY]]
        return {key: _restore(part, arrays) for key, part in value.items()}
    if isinstance(value, list):
        return [_restore(part, arrays) for part in value]
    return value
