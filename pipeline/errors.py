"""What can go wrong in the pipeline, as one tree.

PipelineError
├── ConfigError (ValueError)          a setting breaks its rule; `setting` names it
├── WindowRunError (ValueError)       a run of windows that contradicts itself, its partition or its universe
├── UnknownInstrumentError (LookupError)  rows of instruments nobody announced, named in `instrument_ids`
├── GraphRunError (ValueError)        a run of snapshots of another universe, or one that no state can follow
├── ArchiveError (ValueError)         a folder that is no archive, or one with a part missing or damaged
├── StateError
│   ├── StateDecodeError (ValueError)     bytes that are no state of this format
│   └── StateMismatchError (ValueError)   a state made under another configuration or by another model
├── NonFiniteScoreError (ArithmeticError) a model returned NaN or infinity; nothing may be published
└── WorkerCrashedError (RuntimeError)     a stage of a worker raised
"""

from __future__ import annotations


class PipelineError(Exception):
    """Root of everything that `pipeline` raises on purpose."""


class ConfigError(PipelineError, ValueError):
    """A setting breaks its rule.

    Attributes
    ----------
    setting
        Its name in `PipelineConfig`, or "" where several are at odds.
    """

    def __init__(self, message: str, *, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


class WindowRunError(PipelineError, ValueError):
    """A run of windows contradicts itself, its partition or its universe."""


class UnknownInstrumentError(PipelineError, LookupError):
    """Rows of instruments that were never announced.

    Attributes
    ----------
    instrument_ids
        Ascending.
    """

    def __init__(self, message: str, *, instrument_ids: tuple[int, ...]) -> None:
        super().__init__(message)
        self.instrument_ids = instrument_ids


class GraphRunError(PipelineError, ValueError):
    """A run of snapshots is of another universe, or cannot follow the state."""


class ArchiveError(PipelineError, ValueError):
    """A folder is no archive, or a part of it is missing, cut short or another than was written."""


class StateError(PipelineError):
    """A checkpointed state cannot be used."""


class StateDecodeError(StateError, ValueError):
    """Bytes are not a state of this format."""


class StateMismatchError(StateError, ValueError):
    """A state was made under another configuration or by another model.

    Attributes
    ----------
    expected, actual
        The values that differ.
    """

    def __init__(self, message: str, *, expected: object, actual: object) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class NonFiniteScoreError(PipelineError, ArithmeticError):
    """A model returned NaN or infinity for a present instrument.

    Attributes
    ----------
    model_id
        The model.
    ts_close
        ns, the first window with such a score.
    """

    def __init__(self, message: str, *, model_id: str, ts_close: int) -> None:
        super().__init__(message)
        self.model_id = model_id
        self.ts_close = ts_close


class WorkerCrashedError(PipelineError, RuntimeError):
    """A stage of a worker raised; nothing that it had in hand was acknowledged."""
