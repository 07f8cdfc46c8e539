"""Errors of the replay tool: each names the file, the row or the address, and what the operator can do.

ReplayError
├── ConfigError (ValueError)            an option out of range, or two that contradict each other
├── SourceError
│   ├── MissingFile (FileNotFoundError)  nothing at the path, or nothing in it that a reader knows
│   ├── MissingPackage (ImportError)    a data package is not installed
│   ├── CorruptFile (ValueError)        truncated, damaged, or not what its name says
│   ├── SchemaMismatch (ValueError)     columns or records that no reader takes, or that cannot be merged
│   ├── InvalidRow (ValueError)         one value breaks a rule; `file`, `row`, `column`, `value`
│   ├── UnsortedRows (ValueError)       time goes backwards and the file is too long to sort
│   ├── UnknownSymbol (LookupError)     a selected symbol is in no source
│   └── EmptyReplay (ValueError)        the selection leaves no tick
├── SinkError (RuntimeError)            the broker refused a message or did not answer
└── ResumeMismatch (ValueError)         the topic holds something other than the head of this replay
"""

from __future__ import annotations

from pathlib import Path


class ReplayError(Exception):
    """Root of everything that this package raises on purpose."""


class ConfigError(ReplayError, ValueError):
    """An option is out of range, or two options contradict each other."""


class SourceError(ReplayError):
    """Input that cannot be replayed."""


class MissingFile(SourceError, FileNotFoundError):
    """Nothing at the path, or nothing in it that a reader knows."""


class MissingPackage(SourceError, ImportError):
    """A data package is not installed."""


class CorruptFile(SourceError, ValueError):
    """A file is truncated, damaged, or not what its name says."""


class SchemaMismatch(SourceError, ValueError):
    """Columns or records that no reader takes, or sources that cannot be merged."""


class InvalidRow(SourceError, ValueError):
    """One value of one row breaks a rule.

    Attributes
    ----------
    file
        The file, or the member of an archive.
    row
        1 is the first row of data; header lines do not count.
    """

    def __init__(self, file: Path | str, row: int, column: str, value: object, rule: str) -> None:
        super().__init__(f"{file}: row {row}: `{column}` (={value}) {rule}")
        self.file = str(file)
        self.row = row
        self.column = column
        self.value = value


class UnsortedRows(SourceError, ValueError):
    """Time goes backwards in a file that is too long to be sorted in memory."""

    def __init__(self, file: Path | str, row: int, clock: str, advice: str) -> None:
        super().__init__(f"{file}: row {row}: `{clock}` is before the row above it; {advice}")
        self.file = str(file)
        self.row = row


class UnknownSymbol(SourceError, LookupError):
    """A selected symbol is in no source."""


class EmptyReplay(SourceError, ValueError):
    """The selection leaves no tick to replay."""


class SinkError(ReplayError, RuntimeError):
    """The broker refused a message or did not answer."""


class ResumeMismatch(ReplayError, ValueError):
    """The topic holds something other than the head of this replay."""
