"""Errors of the trigger layer. They hang in jobrunner's tree, so that every face knows their exit
codes and statuses; a broken field is :class:`jobrunner.errors.InvalidSpec`.

::

    JobrunnerError
    ├── InvalidSpec
    │   └── InvalidEvent        2   an event or a message that breaks a rule of its format
    └── RunnerFault
        ├── IllegalTransition   5   the table of a state machine has no such cell
        └── StoreFault
            └── DamagedRow      5   what is stored of one resource cannot be read
"""

from __future__ import annotations

from jobrunner.errors import Conflict, InvalidSpec, RunnerFault, StoreFault, Violation


class IllegalTransition(RunnerFault):
    """The table has no cell for this state and event; nothing was changed."""


class DamagedRow(StoreFault):
    """What is stored of the resource ``uid`` cannot be read; others can."""

    def __init__(self, message: str, *, uid: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.uid = uid


class InvalidEvent(InvalidSpec):
    """What came in is not a CloudEvent or not a message. ``field`` is the attribute, header or
    member, empty for the whole; ``status`` is the answer to the sender: 400, 413 or 415; ``at`` is
    its place in a batch, from 0."""

    def __init__(
        self, problem: str, *, field: str = "", status: int = 400, at: int | None = None
    ) -> None:
        self.problem = problem
        self.field = field
        self.status = status
        self.at = at
        path = field if at is None else f"events[{at}]{f'.{field}' if field else ''}"
        super().__init__([Violation(path, problem)])

    def within(self, at: int) -> InvalidEvent:
        """The same of the event at that place of a batch."""
        return InvalidEvent(self.problem, field=self.field, status=self.status, at=at)


def changed_meanwhile(kind: str, name: str) -> Conflict:
    """``kind`` with a capital."""
    return Conflict(
        f"{kind} '{name}' was changed by somebody else meanwhile.",
        hint="Look at it as it is now, then try again.",
    )
