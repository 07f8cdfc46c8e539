"""Why a job ends without a model, in one line for its status."""

from __future__ import annotations

from cs3g.errors import CommandError

__all__ = ["JobError", "JobRefused"]


class JobError(CommandError):
    """A job cannot be done as it was requested; doing it again would end the same way."""


class JobRefused(JobError):
    """A request names what is not allowed or does not exist."""
