"""The reading of an answer: accept, retry or reject, by the rules of where the delivery is from.

How an attempt ended is a fact, an :class:`Answer`, a :class:`Broken` or a :class:`RunEnd`. What
follows from a retry is in :mod:`triggers.core.retry`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from jobrunner.core.states import ExecutionState
from triggers.core.records import Ack, DeliveryAttempt, Ruling, SourceKind
from triggers.core.records import Break as Break

_PUSHED = frozenset({SourceKind.SUBSCRIPTION, SourceKind.EVENT_TRIGGER})
PUSH_ACCEPTS = frozenset({102, 200, 201, 202, 204})
THROTTLING = frozenset({429, 503})
DEADLINE_STATUS = 504
"""What a missed deadline is called where a status is asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is that of the final answer, behind redirects where those are followed.
    ``retry_after`` is the header in seconds. ``words`` say what we have done or refused, where the
    answer is our own."""

    status: int
    retry_after: float | None = None
    words: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """``message`` says what went wrong, for people."""

    why: Break
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The execution of a job target, in the state it is in."""

    execution: str
    state: ExecutionState


Outcome = Answer | Broken | RunEnd


@dataclass(frozen=True, slots=True)
class Verdict:
    """``throttle`` asks the source to slow down as a whole; ``retry_after`` (seconds) is what the
    answer asked for, where the contract heeds it. ``reason`` says it in words."""

    ruling: Ruling
    reason: str
    retry_after: float | None = None
    throttle: bool = False


def judge(source: SourceKind, outcome: Outcome) -> Verdict:
    match outcome:
        case Answer():
            return _answered(source, outcome)
        case Broken():
            return _broken(outcome)
        case RunEnd():
            return _ended(outcome)


def judge_start(execution: str, ack: Ack) -> Verdict | None:
    """Of a job target whose execution was started; ``None`` if its end is to be followed."""
    if ack is Ack.ON_SUCCESS:
        return None
    return Verdict(Ruling.ACCEPT, f"execution {execution} was started")


def accepts(source: SourceKind, status: int) -> bool:
    """Push and events: five codes and no others. Everything else: 200 to 299."""
    if source in _PUSHED:
        return status in PUSH_ACCEPTS
    return 200 <= status <= 299


def follows_redirects(source: SourceKind) -> bool:
    """Where a redirect is followed the final answer decides; elsewhere it is a no."""
    return source not in _PUSHED


def counts_as_response(outcome: Outcome) -> bool:
    """Whether a queue counts it in ``X-CloudTasks-TaskExecutionCount``: an answer that is not a
    server error."""
    return isinstance(outcome, Answer) and not 500 <= outcome.status <= 599


def previous_response(outcome: Outcome) -> int | None:
    """The status that the next attempt of a queue item reports; a missed deadline shows as 504."""
    match outcome:
        case Answer():
            return outcome.status
        case Broken(Break.DEADLINE):
            return DEADLINE_STATUS
        case _:
            return None


_BY_STATUS = {
    400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 499: 1, 500: 13, 501: 12, 503: 14, 504: 4,
}  # fmt: skip
_FAILED_RUN = 10
_BY_BREAK = {Break.DEADLINE: 4, Break.FORBIDDEN: 7, Break.UNUSABLE: 3}


def status_code(outcome: Outcome) -> int:
    """The ``google.rpc.Code`` of an attempt, as in the status of a schedule; 0 is success."""
    match outcome:
        case Answer(status):
            if 200 <= status <= 299:
                return 0
            # An unknown client error is a failed precondition, an unknown server error internal.
            return _BY_STATUS.get(status, 9 if 400 <= status <= 499 else 13 if status >= 500 else 2)
        case Broken(why):
            return _BY_BREAK.get(why, 14)
        case RunEnd(_, state):
            ends = {ExecutionState.SUCCEEDED: 0, ExecutionState.CANCELLED: 1}
            return ends.get(state, _FAILED_RUN)


def attempt_code(attempt: DeliveryAttempt) -> int:
    """The same of an attempt that is on record and has ended. The execution that one started tells
    no more than that it failed."""
    if attempt.ruling is Ruling.ACCEPT:
        return 0
    if attempt.status is not None:
        return status_code(Answer(attempt.status))
    if attempt.broken is None and attempt.execution is not None:
        return _FAILED_RUN
    return status_code(Broken(attempt.broken or Break.CONNECT))


def _answered(source: SourceKind, answer: Answer) -> Verdict:
    if accepts(source, answer.status):
        return Verdict(Ruling.ACCEPT, answer.words) if answer.words else _accepted(answer.status)
    if source is SourceKind.QUEUE and answer.status in THROTTLING:
        reason = f"HTTP {answer.status}, the queue slows down"
        return Verdict(Ruling.RETRY, reason, answer.retry_after, throttle=True)
    if source is SourceKind.MANUAL and answer.status in THROTTLING:
        return Verdict(Ruling.RETRY, f"HTTP {answer.status}", answer.retry_after)
    push = source in _PUSHED
    if push and 200 <= answer.status <= 299:
        reason = f"HTTP {answer.status}, which does not acknowledge; 200, 201, 202 and 204 do"
        return Verdict(Ruling.RETRY, reason)
    said = f": {answer.words}" if answer.words else ""
    return Verdict(Ruling.RETRY, f"HTTP {answer.status}{said}")


@lru_cache(maxsize=256)
def _accepted(status: int) -> Verdict:
    return Verdict(Ruling.ACCEPT, f"HTTP {status}")


def _broken(broken: Broken) -> Verdict:
    reason = broken.message or _WORDS[broken.why]
    # The same request would meet the same end, however often it is sent.
    hopeless = broken.why in {Break.FORBIDDEN, Break.UNUSABLE}
    return Verdict(Ruling.REJECT if hopeless else Ruling.RETRY, reason)


_WORDS = {
    Break.DEADLINE: "no answer before the deadline",
    Break.CONNECT: "no connection",
    Break.RESET: "the connection broke before the answer was complete",
    Break.TLS: "the TLS certificate or handshake was refused",
    Break.PROTOCOL: "the answer is not HTTP",
    Break.REDIRECTS: "too many redirects, or one that leads nowhere",
    Break.FORBIDDEN: "the host is not on the list of allowed targets",
    Break.UNUSABLE: "the target is not a request that can be sent",
}


def _ended(end: RunEnd) -> Verdict:
    """Somebody who cancels a run does not want it again."""
    if end.state is ExecutionState.SUCCEEDED:
        return Verdict(Ruling.ACCEPT, f"execution {end.execution} succeeded")
    if end.state is ExecutionState.CANCELLED:
        return Verdict(Ruling.REJECT, f"execution {end.execution} was cancelled")
    if end.state is ExecutionState.FAILED:
        return Verdict(Ruling.RETRY, f"execution {end.execution} failed")
    raise ValueError(f"execution {end.execution} is {end.state} and has not ended")
