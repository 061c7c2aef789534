"""The one table of errors: what each becomes in HTTP, in Google's words and in gRPC.

The envelope of both API versions::

    {"error": {"code": 404, "message": "…", "status": "NOT_FOUND", "details": [{"@type": …}]}}

Whoever raises an error writes its message; the class decides the status. What is not in the table
is a bug: INTERNAL, with a number that the server's own log explains, and nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobrunner.errors import (
    AlreadyExists,
    BackendFault,
    BacklogFull,
    Conflict,
    InvalidSpec,
    JobrunnerError,
    NotFound,
    Refused,
    RunFailed,
    RunnerFault,
    StaleWrite,
    StoreFault,
    UsageError,
)

BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
HELP = "type.googleapis.com/google.rpc.Help"


@dataclass(frozen=True, slots=True)
class Status:
    """``name`` and ``grpc`` are of ``google.rpc.Code``."""

    http: int
    name: str
    grpc: int


class CallError(JobrunnerError):
    """What is wrong with a call itself, whatever method it was for."""


class Unauthenticated(CallError):
    """No token, or none that is valid now."""


class PermissionDenied(CallError):
    """The caller, or the page the call comes from, may not do this."""


class MalformedCall(CallError):
    """It cannot be understood."""


class UnknownPath(CallError):
    """No method has this path."""


class MethodNotAllowed(CallError):
    """``allow`` names the verbs that the path has."""

    def __init__(self, message: str, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class TooSlow(CallError):
    """The request did not arrive in time."""


class TooLarge(CallError):
    """The body is larger than the server takes."""


class HeadTooLarge(CallError):
    """The request line and the headers are larger than the server takes."""


class WrongContentType(CallError):
    """The body is not declared to be JSON."""


class Overloaded(CallError):
    """More calls at once than the server takes, or it is stopping."""


class DeadlineExceeded(CallError):
    """No answer within the server's limit; whether it was done is not known."""


class Bug(CallError):
    """Stands for any exception that is not in the table. ``number`` finds it in the log."""

    def __init__(self) -> None:
        self.number = secrets.token_hex(4)
        super().__init__(f"internal error; the server's log has it under number {self.number}")


TABLE: Mapping[type[JobrunnerError], Status] = {
    # Wrong in itself.
    InvalidSpec: Status(400, "INVALID_ARGUMENT", 3),
    UsageError: Status(400, "INVALID_ARGUMENT", 3),
    MalformedCall: Status(400, "INVALID_ARGUMENT", 3),
    TooLarge: Status(413, "INVALID_ARGUMENT", 3),
    WrongContentType: Status(415, "INVALID_ARGUMENT", 3),
    HeadTooLarge: Status(431, "INVALID_ARGUMENT", 3),
    UnknownPath: Status(404, "NOT_FOUND", 5),
    MethodNotAllowed: Status(405, "UNIMPLEMENTED", 12),
    # Not by this caller.
    Unauthenticated: Status(401, "UNAUTHENTICATED", 16),
    PermissionDenied: Status(403, "PERMISSION_DENIED", 7),
    # Not as things are.
    NotFound: Status(404, "NOT_FOUND", 5),
    AlreadyExists: Status(409, "ALREADY_EXISTS", 6),
    Conflict: Status(409, "ABORTED", 10),
    StaleWrite: Status(409, "ABORTED", 10),
    Refused: Status(400, "FAILED_PRECONDITION", 9),
    RunFailed: Status(400, "FAILED_PRECONDITION", 9),
    # Not now. Clients repeat a 5xx, so none of them stands for "never".
    BacklogFull: Status(429, "RESOURCE_EXHAUSTED", 8),
    TooSlow: Status(408, "DEADLINE_EXCEEDED", 4),
    Overloaded: Status(503, "UNAVAILABLE", 14),
    StoreFault: Status(503, "UNAVAILABLE", 14),
    BackendFault: Status(503, "UNAVAILABLE", 14),
    DeadlineExceeded: Status(504, "DEADLINE_EXCEEDED", 4),
    # Never meant to happen.
    RunnerFault: Status(500, "INTERNAL", 13),
    JobrunnerError: Status(500, "INTERNAL", 13),
}


def known(error: BaseException) -> JobrunnerError:
    """``error`` itself, or a Bug in its place: the caller logs ``error`` under its number."""
    return error if isinstance(error, JobrunnerError) else Bug()


def status_of(error: JobrunnerError) -> Status:
    """The row of the nearest class in the table."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def details_of(error: JobrunnerError) -> list[dict[str, Any]]:
    """``google.rpc`` messages in JSON: the fields that break a rule, and the hint."""
    details: list[dict[str, Any]] = []
    if isinstance(error, InvalidSpec):
        violations = [{"field": v.field, "description": v.message} for v in error.violations]
        details.append({"@type": BAD_REQUEST, "fieldViolations": violations})
    if error.hint:
        details.append({"@type": HELP, "links": [{"description": error.hint}]})
    return details


def envelope(error: JobrunnerError) -> dict[str, Any]:
    status = status_of(error)
    said: dict[str, Any] = {
        "code": status.http,
        "message": error.message,
        "status": status.name,
    }
    if details := details_of(error):
        said["details"] = details
    return {"error": said}
