"""The command's own errors; what the packages raise has their own trees."""

from __future__ import annotations

__all__ = ["CommandError", "ComparisonError", "StudyError"]


class CommandError(Exception):
    """Root of what the command raises on purpose."""


class ComparisonError(CommandError):
    """Models cannot be compared on this history, or as asked."""


class StudyError(CommandError):
    """A part of a study failed, or its parts do not fit."""
