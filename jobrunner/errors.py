"""The error tree. Every error a user can meet is one of these; anything else is a bug.

::

    JobrunnerError              exit code 5
    ├── UsageError              2   the command line cannot be understood
    ├── InvalidSpec             2   fields break a rule; carries every Violation found
    ├── NotFound                3
    ├── Refused                 4   understood, but not now or not here
    │   ├── AlreadyExists       4
    │   │   └── KeySpent        4   what the key has opened is gone, and is not run again
    │   ├── Conflict            4   somebody else changed it first
    │   ├── BacklogFull         4   as much waits as may wait; later there is room
    │   └── Interrupted         4   nobody drives this execution any more
    ├── RunFailed               1   the execution ended, and not with success
    └── RunnerFault             5   the runner, its store or an engine is at fault
        ├── StoreFault          5
        │   └── StaleWrite      5   a guarded transition found another state; the lease is gone
        └── BackendFault        5
            ├── LaunchFailed    5   this attempt could not be started
            └── AttemptVanished 5   the backend does not know the attempt, nor how it ended
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class JobrunnerError(Exception):
    """Base of all errors that are shown to a user as one sentence, never as a traceback."""

    exit_code: int = 5
    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint


class UsageError(JobrunnerError):
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule. ``field`` is the path in the document, for example
    ``spec.template.spec.taskCount``; ``message`` names the value and the allowed form."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidSpec(JobrunnerError):
    """One or more fields break a rule. All violations found are in ``violations``."""

    exit_code = 2

    def __init__(self, violations: Sequence[Violation], *, hint: str | None = None) -> None:
        self.violations = tuple(violations)
        super().__init__("\n".join(str(v) for v in self.violations), hint=hint)


class NotFound(JobrunnerError):
    exit_code = 3


class Refused(JobrunnerError):
    exit_code = 4


class AlreadyExists(Refused):
    pass


class KeySpent(AlreadyExists):
    """The idempotency key has opened an execution that has been removed since."""


class Conflict(Refused):
    pass


class BacklogFull(Refused):
    """As much waits as may wait. Nothing was taken; the same may be tried again later."""


class Interrupted(Refused):
    pass


class RunFailed(JobrunnerError):
    exit_code = 1


class RunnerFault(JobrunnerError):
    exit_code = 5


class StoreFault(RunnerFault):
    pass


class StaleWrite(StoreFault):
    """A guarded transition found another state than expected, or the lease belongs to another."""


class BackendFault(RunnerFault):
    pass


class LaunchFailed(BackendFault):
    """The attempt could not be started.

    ``permanent`` says that trying the same again is pointless (no such command, no such image).
    ``reason`` is a CamelCase word in the style of the contract (``ContainerMissing``, …).
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool,
        reason: str = "LaunchFailed",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.permanent = permanent
        self.reason = reason


class AttemptVanished(BackendFault):
    """The backend no longer knows the attempt and cannot say how it ended."""
