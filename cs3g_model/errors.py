"""What can go wrong in the model package, as one tree.

ModelError
├── ConfigError            a configuration breaks a rule               (ValueError)
├── ShapeError             an array has the wrong shape or dtype       (ValueError)
├── EvaluationError        scores or prices that cannot be judged       (ValueError)
├── TrainingError          the data cannot be trained on, or a loss is not finite (RuntimeError)
│   └── CheckpointError    a fit cannot go on from a checkpoint        (ValueError)
├── CompressionError       cannot be pruned or quantized as asked      (ValueError)
│   └── BudgetError        no choice of bits fits the bytes allowed
├── StateError
│   ├── StateDecodeError   bytes that are no hidden state              (ValueError)
│   └── StateMismatchError a state of another model or universe        (ValueError)
└── ArtifactError
├── ArtifactNotFoundError  no such folder or id                    (FileNotFoundError)
├── ArtifactFormatError    unreadable, unknown or newer format     (ValueError)
└── ArtifactTamperedError  bytes differ from their recorded hash   (ValueError)
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "ArtifactFormatError",
    "ArtifactNotFoundError",
    "ArtifactTamperedError",
    "BudgetError",
    "CheckpointError",
    "CompressionError",
    "ConfigError",
    "EvaluationError",
    "FeatureError",
    "ModelError",
    "ShapeError",
    "StateDecodeError",
    "StateError",
    "StateMismatchError",
    "TrainingError",
]


class ModelError(Exception):
    """Root of everything that `cs3g_model` raises on purpose."""


class ConfigError(ModelError, ValueError):
    """A configuration value breaks its rule."""


class ShapeError(ModelError, ValueError):
    """An array has the wrong shape or dtype."""


class FeatureError(ModelError, ValueError):
    """A window's columns hold a value that no market gives, such as a price that is not positive."""


class EvaluationError(ModelError, ValueError):
    """Scores or prices cannot be judged: nothing to score, or a series too short for a statistic."""


class TrainingError(ModelError, RuntimeError):
    """Training cannot start or go on."""


class CompressionError(ModelError, ValueError):
    """A model cannot be pruned or quantized as asked."""


class BudgetError(CompressionError):
    """No choice of bits fits the bytes allowed.

    Attributes
    ----------
    smallest_bytes
        The least that the model needs.
    """

    def __init__(self, message: str, *, smallest_bytes: int) -> None:
        super().__init__(message)
        self.smallest_bytes = smallest_bytes


class CheckpointError(TrainingError, ValueError):
    """A fit's checkpoint is unreadable, of another fit, or not what was written."""


class StateError(ModelError):
    """A hidden state cannot be used."""


class StateDecodeError(StateError, ValueError):
    """Bytes are not a hidden state of this format."""


class StateMismatchError(StateError, ValueError):
    """A hidden state belongs to another model or to another number of instruments.

    Attributes
    ----------
    expected, actual
        The model ids, or the sizes, that differ.
    """

    def __init__(self, message: str, *, expected: object, actual: object) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class ArtifactError(ModelError):
    """A saved model cannot be used."""


class ArtifactNotFoundError(ArtifactError, FileNotFoundError):
    """No artifact has this id, role or path."""


class ArtifactFormatError(ArtifactError, ValueError):
    """The artifact is unreadable, or of an unknown or newer format."""


class ArtifactTamperedError(ArtifactError, ValueError):
    """The artifact's bytes do not match the hash that its manifest records."""
