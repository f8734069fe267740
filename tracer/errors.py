"""Errors that a user can act on.

TracerError
├── UsageError        the request makes no sense: exit status 2
└── CannotTraceError  the request is sound and this machine cannot serve it: exit status 3
"""

from __future__ import annotations


class TracerError(Exception):
    """Say what went wrong in one sentence, and what to do about it in another."""

    exit_status = 3

    def __init__(self, cause: str, way_out: str = "") -> None:
        """Keep both sentences; `cause` names the thing that failed."""
        super().__init__(cause)
        self.cause = cause
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.cause}. {self.way_out}".strip() if self.way_out else self.cause


class UsageError(TracerError):
    """The command, endpoint, scenario or document that was given cannot be used."""

    exit_status = 2


class CannotTraceError(TracerError):
    """This machine, kernel or network namespace does not allow the trace."""

    exit_status = 3
