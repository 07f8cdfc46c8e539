"""Checkpoints as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cs3g_model.errors import CheckpointError
from cs3g_model.training.checkpoint import has_checkpoint, read_checkpoint, write_checkpoint
from cs3g_model.training.ranks import ALONE

VALUE = {
    "scalar": torch.tensor(3.5),
    "flags": torch.tensor([True, False]),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "turned": torch.arange(6.0).view(2, 3).t(),
    "double": torch.tensor([1 / 3], dtype=torch.float64),
    "none": torch.zeros(0, 3),
    "nested": {"list": [torch.ones(2), 0.1, None, "text"], "array": np.arange(3, dtype=np.float32)},
}


def test_a_value_comes_back_as_it_was(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    write_checkpoint(tmp_path / "new", VALUE, "1", "me", ALONE)
    assert has_checkpoint(tmp_path / "new")
    back = read_checkpoint(tmp_path / "new", "me", ALONE)
    for name in ("scalar", "flags", "bytes", "turned", "double", "none"):
        assert back[name].dtype == VALUE[name].dtype
        assert back[name].shape == VALUE[name].shape
        assert torch.equal(back[name], VALUE[name])
    ones, *rest = back["nested"]["list"]
    assert torch.equal(ones, torch.ones(2))
    assert rest == [0.1, None, "text"]
    np.testing.assert_array_equal(back["nested"]["array"], np.arange(3))
    assert isinstance(back["nested"]["array"], np.ndarray)


def test_a_write_that_fails_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"x": torch.ones(3), "loss": 1.0}, "1", "me", ALONE)
    with pytest.raises(ValueError, match="JSON"):  # not a number: the tensors are written, the index is not
        write_checkpoint(tmp_path, {"x": torch.zeros(3), "loss": float("nan")}, "2", "me", ALONE)
    back = read_checkpoint(tmp_path, "me", ALONE)
    assert back["loss"] == 1.0
    assert torch.equal(back["x"], torch.ones(3))
    write_checkpoint(tmp_path, {"x": torch.zeros(3), "loss": 3.0}, "3", "me", ALONE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.json", "rank0-3.safetensors"]


def test_an_identity_guards_a_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, VALUE, "1", "me", ALONE)
    with pytest.raises(CheckpointError, match="another fit"):
        read_checkpoint(tmp_path, "you", ALONE)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, VALUE, "1", "me", ALONE)
    with pytest.raises(CheckpointError, match=r"fit\.json"):
        read_checkpoint(tmp_path / "elsewhere", "me", ALONE)
