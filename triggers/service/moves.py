"""What follows from what happened to a delivery, as moves that a store can guard. Pure."""

from __future__ import annotations

from dataclasses import replace

from jobrunner.core.states import SETTLED_EXECUTIONS
from triggers.core.records import Ack, Delivery, DeliveryAttempt, JobTarget, Ruling
from triggers.core.retry import Exhausted, RetryAt, after_unknown, history, next_attempt
from triggers.core.states import SETTLED_DELIVERIES, DeliveryEvent, step
from triggers.core.verdict import (
    Answer,
    Outcome,
    RunEnd,
    Verdict,
    counts_as_response,
    judge,
    judge_start,
    previous_response,
)
from triggers.ports import Move, Sent

Event = DeliveryEvent


def number_of(delivery: Delivery) -> int:
    """Of the attempt that is on its way, or the next one; from 1."""
    return delivery.attempts + delivery.unknown + 1


def still_runs(delivery: Delivery, outcome: Outcome) -> bool:
    """Whether the end of an execution is to be followed."""
    return (
        isinstance(outcome, RunEnd)
        and _ack(delivery) is Ack.ON_SUCCESS
        and outcome.state not in SETTLED_EXECUTIONS
    )


def verdict_of(delivery: Delivery, outcome: Outcome) -> Verdict:
    """The reading of an outcome that is an end."""
    if isinstance(outcome, RunEnd):
        started = judge_start(outcome.execution, _ack(delivery))
        if started is not None:
            return started
    return judge(delivery.source, outcome)


def followed(delivery: Delivery, execution: str, name: str) -> Move:
    """The execution (its uid and name) is stored and runs: neither a lease nor a slot is held any
    more."""
    reason = f"execution {name} runs"
    return _move(delivery, Event.FOLLOWING, delivery, 0.0, execution=execution, reason=reason)


def ended(
    delivery: Delivery, sent: Sent, verdict: Verdict, now: float, *, jitter: float, pause: float
) -> Move:
    """Of a delivery that was SENDING or FOLLOWING, whose attempt has come to an end."""
    outcome = sent.outcome
    failed_run = isinstance(outcome, RunEnd) and verdict.ruling is not Ruling.ACCEPT
    counted = replace(
        delivery,
        attempts=delivery.attempts + 1,
        responses=delivery.responses + counts_as_response(outcome),
        last_status=previous_response(outcome),
        run_try=delivery.run_try + failed_run,
        execution=sent.execution or delivery.execution,
    )
    accepted = verdict.ruling is Ruling.ACCEPT
    attempt = DeliveryAttempt(
        delivery=delivery.uid,
        number=number_of(delivery),
        started_at=delivery.last_attempt_at or now,
        scheduled_at=delivery.not_before,
        ended_at=now,
        status=outcome.status if isinstance(outcome, Answer) else None,
        ruling=verdict.ruling,
        excerpt=sent.excerpt,
        error="" if accepted else verdict.reason,
        execution=counted.execution,
    )
    if accepted:
        move = _move(delivery, Event.ACCEPTED, counted, now, reason=verdict.reason)
        return replace(move, attempt=attempt)
    if verdict.ruling is Ruling.REJECT:
        move = _move(delivery, Event.REJECTED, counted, now, reason=verdict.reason)
        return replace(move, attempt=attempt)
    follows = next_attempt(
        delivery.retry,
        history(counted, now),
        now,
        jitter=jitter,
        retry_after=verdict.retry_after,
        pause=pause,
    )
    return _again(delivery, Event.RETRYABLE, counted, attempt, follows, now, verdict.reason)


def lost(delivery: Delivery, now: float) -> Move:
    """Nobody saw the end of the attempt: whoever held it is gone, or was away for too long."""
    counted = replace(delivery, unknown=delivery.unknown + 1)
    why = "whoever sent it did not see its end"
    attempt = DeliveryAttempt(
        delivery=delivery.uid,
        number=number_of(delivery),
        started_at=delivery.last_attempt_at or now,
        scheduled_at=delivery.not_before,
        error=why,
        execution=delivery.execution,
    )
    follows = after_unknown(counted.unknown, now)
    return _again(delivery, Event.LEASE_EXPIRED, counted, attempt, follows, now, why)


def unsent(delivery: Delivery, now: float) -> Move:
    """Claimed and given back before anything was sent; it counts as nothing."""
    reason = "given back before it was sent"
    return _move(delivery, Event.LEASE_EXPIRED, delivery, now, reason=reason)


def orphaned(delivery: Delivery, now: float) -> Move:
    """The execution that is followed is not there any more."""
    reason = f"execution {delivery.execution} was removed before its end was seen"
    counted = replace(delivery, attempts=delivery.attempts + 1)
    attempt = DeliveryAttempt(
        delivery=delivery.uid,
        number=number_of(delivery),
        started_at=delivery.last_attempt_at or now,
        scheduled_at=delivery.not_before,
        ended_at=now,
        ruling=Ruling.REJECT,
        error=reason,
        execution=delivery.execution,
    )
    move = _move(delivery, Event.REJECTED, counted, now, reason=reason)
    return replace(move, attempt=attempt)


def aged_out(delivery: Delivery, now: float) -> Move:
    reason = "older than its source keeps what was not delivered"
    return _move(delivery, Event.AGED_OUT, delivery, now, reason=reason)


def withdrawn(delivery: Delivery, now: float, by: str) -> Move:
    reason = f"withdrawn by {by}" if by else "withdrawn"
    return _move(delivery, Event.WITHDRAWN, delivery, now, reason=reason)


def _again(
    before: Delivery,
    event: DeliveryEvent,
    counted: Delivery,
    attempt: DeliveryAttempt,
    follows: RetryAt | Exhausted,
    now: float,
    why: str,
) -> Move:
    reason = f"{why}; {follows.reason}"
    if isinstance(follows, Exhausted):
        move = _move(before, Event.EXHAUSTED, counted, now, reason=reason)
        return replace(move, attempt=attempt)
    move = _move(before, event, counted, now, not_before=follows.at, reason=reason)
    return replace(move, attempt=replace(attempt, retry_at=follows.at))


def _move(
    before: Delivery,
    event: DeliveryEvent,
    counted: Delivery,
    now: float,
    *,
    reason: str,
    not_before: float | None = None,
    execution: str | None = None,
) -> Move:
    """Every move gives the lease up."""
    state = step(before.state, event)
    after = replace(
        counted,
        state=state,
        not_before=counted.not_before if not_before is None else not_before,
        execution=execution or counted.execution,
        lease_owner=None,
        lease_until=None,
        reason=reason,
        settled_at=now if state in SETTLED_DELIVERIES else None,
    )
    return Move(before, event, after)


def _ack(delivery: Delivery) -> Ack:
    return delivery.target.ack if isinstance(delivery.target, JobTarget) else Ack.ON_START
