"""The command's own errors; what the packages raise has their own trees."""

from __future__ import annotations

__all__ = ["CommandError", "StudyError"]


class CommandError(Exception):
    """Root of what the command raises on purpose."""


class StudyError(CommandError):
    """A part of a study failed, or its parts do not fit."""
