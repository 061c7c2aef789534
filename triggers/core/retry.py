"""When a failed delivery is tried again, and when it is given up: the formulas of the contract.

Pure: what happened comes in as a :class:`History`, the time as ``now``. ``jitter`` is a number of
0 up to 1 that somebody else drew; only the policies of Pub/Sub and Eventarc, whose delays are
approximate by contract, use it.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec, Violation
from triggers.core.records import (
    Delivery,
    EventRetry,
    ManualRetry,
    PushRetry,
    QueueRetry,
    RetryPolicy,
    ScheduleRetry,
)

JITTER_SHARE = 0.1
"""How much longer a delay with jitter can be, as a part of it."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 60.0
"""Seconds; the bounds of a subscription's pause after answers that were no."""

MAX_UNKNOWN = 3
"""How often an attempt of unknown end is sent again, outside every policy."""
MAX_RETRY_COUNT = 5
MIN_DELIVERY_ATTEMPTS = 5
MAX_DELIVERY_ATTEMPTS = 100
MAX_PUSH_BACKOFF = 600.0
MIN_RETENTION = 600.0
MAX_RETENTION = 31 * 86_400.0
TASK_LIFETIME = 31 * 86_400.0
"""How long a queue keeps what it cannot deliver."""
_MOST_DOUBLINGS = 1000


@dataclass(frozen=True, slots=True)
class History:
    """``attempts`` that count and have failed, the last one included. ``queued_at`` is when the
    source had the message first; only what ages looks at it."""

    attempts: int
    first_attempt_at: float
    queued_at: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryAt:
    """``at`` is Unix seconds; ``reason`` says in words how the delay came about."""

    at: float
    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class Exhausted:
    """No further attempt; ``reason`` names the limit that was reached."""

    reason: str


def history(delivery: Delivery, now: float) -> History:
    """Of a delivery whose last attempt is already counted."""
    first = delivery.first_attempt_at
    return History(delivery.attempts, now if first is None else first, delivery.queued_at)


def next_attempt(
    policy: RetryPolicy,
    past: History,
    now: float,
    *,
    jitter: float = 0.0,
    retry_after: float | None = None,
    pause: float = 0.0,
) -> RetryAt | Exhausted:
    """What follows the failed attempt that ended at ``now``.

    ``retry_after`` is what the answer asked for, in seconds; only queues and what is sent by hand
    heed it, up to their longest back-off. ``pause`` is the subscription's, see :func:`push_pause`.
    """
    match policy:
        case ScheduleRetry():
            return _scheduled(policy, past, now)
        case QueueRetry():
            count = policy.max_attempts if policy.max_attempts >= 0 else None
            found = _limited(policy, past, now, count, f"maxAttempts {policy.max_attempts}")
            return _heeded(found, policy.max_backoff, now, retry_after)
        case ManualRetry():
            return _heeded(_by_hand(policy, past, now), policy.max_backoff, now, retry_after)
        case PushRetry():
            return _pushed(policy, past, now, jitter, pause)
        case EventRetry():
            return _event(policy, past, now, jitter)


def backoff(
    retry: int, *, min_backoff: float, max_backoff: float, max_doublings: int | None
) -> float:
    """Seconds before retry number ``retry`` (from 1).

    The delay doubles ``max_doublings`` times and then grows by the same step each time;
    ``None`` never stops doubling. It never exceeds ``max_backoff``.
    """
    doubled = retry - 1 if max_doublings is None else min(retry - 1, max_doublings)
    try:
        # Every factor beyond the range of a float is beyond any ceiling, too.
        delay = min_backoff * 2.0 ** min(doubled, _MOST_DOUBLINGS)
        if max_doublings is not None and retry > max_doublings + 1:
            delay *= retry - max_doublings
    except OverflowError:
        return max_backoff
    return min(delay, max_backoff)


def after_unknown(unknown: int, now: float) -> RetryAt | Exhausted:
    """What follows an attempt whose end nobody saw: the runner died with the request on the wire.
    ``unknown`` are all of these, this one included. Again at once, but not for ever."""
    if unknown > MAX_UNKNOWN:
        return Exhausted(f"{unknown} attempts of unknown end")
    return RetryAt(now, 0.0, "the end of the attempt is unknown; not counted as a retry")


def push_pause(pause: float, accepted: bool) -> float:
    """The pause of a whole push subscription after one more answer: doubled by a no, from 100 ms
    to 60 s; halved by a yes, and gone below 100 ms."""
    if not accepted:
        return min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
    return pause / 2 if pause / 2 >= FIRST_PAUSE else 0.0


def ages_out_at(policy: RetryPolicy, queued_at: float) -> float | None:
    """When an undelivered message is dropped by its source; ``None`` if it never is."""
    match policy:
        case PushRetry():
            return queued_at + policy.retention
        case EventRetry():
            return queued_at + policy.lifetime
        case QueueRetry():
            return queued_at + TASK_LIFETIME
        case _:
            return None


def _scheduled(policy: ScheduleRetry, past: History, now: float) -> RetryAt | Exhausted:
    if policy.retry_count == 0 and policy.max_retry_duration == 0:
        return Exhausted("no retries: retryCount is 0")
    count = policy.retry_count + 1 if policy.retry_count else None
    return _limited(policy, past, now, count, f"retryCount {policy.retry_count}")


def _by_hand(policy: ManualRetry, past: History, now: float) -> RetryAt | Exhausted:
    if policy.retry_count == 0 and policy.max_retry_duration == 0:
        return Exhausted("no retries: retryCount is 0")
    count = None if policy.retry_count is None else policy.retry_count + 1
    return _limited(policy, past, now, count, f"retryCount {policy.retry_count}")


def _heeded(
    found: RetryAt | Exhausted, most: float, now: float, retry_after: float | None
) -> RetryAt | Exhausted:
    if isinstance(found, Exhausted) or retry_after is None:
        return found
    asked = min(retry_after, most)
    if asked <= found.delay:
        return found
    return RetryAt(now + asked, asked, f"{found.reason}; the answer asked for {_s(retry_after)}")


def _limited(
    policy: ScheduleRetry | QueueRetry | ManualRetry,
    past: History,
    now: float,
    count: int | None,
    count_name: str,
) -> RetryAt | Exhausted:
    """``count`` is the limit of attempts, the first one included; ``None`` is no limit. Where
    there are two limits, retrying goes on until both are reached."""
    delay = backoff(
        past.attempts,
        min_backoff=policy.min_backoff,
        max_backoff=policy.max_backoff,
        max_doublings=policy.max_doublings,
    )
    limits: list[str] = []
    left = False
    if count is not None:
        left |= past.attempts < count
        limits.append(f"{count_name} is used up")
    if policy.max_retry_duration > 0:
        left |= now + delay - past.first_attempt_at <= policy.max_retry_duration
        limits.append(f"maxRetryDuration {_s(policy.max_retry_duration)} has passed")
    if limits and not left:
        return Exhausted(" and ".join(limits))
    return RetryAt(now + delay, delay, f"retry {past.attempts} after {_s(delay)}")


def _pushed(
    policy: PushRetry, past: History, now: float, jitter: float, pause: float
) -> RetryAt | Exhausted:
    most = policy.max_delivery_attempts
    if most is not None and past.attempts >= most:
        return Exhausted(f"maxDeliveryAttempts {most} is used up")
    delay, why = 0.0, "no retry policy"
    if policy.min_backoff is not None:
        delay = _approximate(past.attempts, policy.min_backoff, policy.max_backoff, jitter)
        why = f"retry {past.attempts} after {_s(delay)}"
    if pause > delay:
        delay, why = pause, f"{why}; the subscription pauses for {_s(pause)}"
    if now + delay > past.queued_at + policy.retention:
        return Exhausted(f"the message is older than its retention, {_s(policy.retention)}")
    return RetryAt(now + delay, delay, why)


def _event(policy: EventRetry, past: History, now: float, jitter: float) -> RetryAt | Exhausted:
    if policy.max_attempts is not None and past.attempts >= policy.max_attempts:
        return Exhausted(f"maxAttempts {policy.max_attempts} is used up")
    most = policy.max_delivery_attempts
    if most is not None and past.attempts >= most:
        return Exhausted(f"maxDeliveryAttempts {most} is used up")
    delay = _approximate(past.attempts, policy.min_backoff, policy.max_backoff, jitter)
    if now + delay > past.queued_at + policy.lifetime:
        return Exhausted(f"the event is older than {_s(policy.lifetime)}")
    return RetryAt(now + delay, delay, f"retry {past.attempts} after {_s(delay)}")


def _approximate(retry: int, least: float, most: float, jitter: float) -> float:
    delay = backoff(retry, min_backoff=least, max_backoff=most, max_doublings=None)
    return min(delay * (1 + JITTER_SHARE * jitter), most)


def check_retry(policy: RetryPolicy, field: str = "retryConfig") -> None:
    """Holds ``policy`` to the bounds of the contract. Raises InvalidSpec."""
    problems = Problems()
    match policy:
        case ScheduleRetry():
            count = policy.retry_count
            if not 0 <= count <= MAX_RETRY_COUNT:
                problems.add(f"{field}.retryCount", f"{count} is not from 0 to {MAX_RETRY_COUNT}")
            _check_backoff(problems, field, policy, "BackoffDuration")
        case QueueRetry():
            if policy.max_attempts < 1 and policy.max_attempts != -1:
                problem = f"{policy.max_attempts} is not 1 or more, or -1 for no limit"
                problems.add(f"{field}.maxAttempts", problem)
            _check_backoff(problems, field, policy, "Backoff")
        case ManualRetry():
            if policy.retry_count is not None and policy.retry_count < 0:
                problems.add(f"{field}.retryCount", f"{policy.retry_count} is not 0 or more")
            _check_backoff(problems, field, policy, "Backoff")
        case PushRetry():
            _check_push(problems, field, policy)
        case EventRetry():
            if policy.max_attempts not in {None, 1}:
                problem = f"{policy.max_attempts} is not 1, the only value there is"
                problems.add(f"{field}.maxAttempts", problem)
    if problems.violations:
        raise InvalidSpec(problems.violations)


def _check_backoff(
    problems: Problems, field: str, policy: ScheduleRetry | QueueRetry | ManualRetry, suffix: str
) -> None:
    durations = {
        f"min{suffix}": policy.min_backoff,
        f"max{suffix}": policy.max_backoff,
        "maxRetryDuration": policy.max_retry_duration,
    }
    for name, value in durations.items():
        if not 0 <= value < float("inf"):
            problems.add(f"{field}.{name}", f"{_s(value)} is not a duration of 0s or more")
    if policy.min_backoff > policy.max_backoff:
        problem = f"{_s(policy.min_backoff)} is more than max{suffix} {_s(policy.max_backoff)}"
        problems.add(f"{field}.min{suffix}", problem)
    if policy.max_doublings < 0:
        problems.add(f"{field}.maxDoublings", f"{policy.max_doublings} is not 0 or more")


def _check_push(problems: Problems, field: str, policy: PushRetry) -> None:
    least, most = policy.min_backoff, policy.max_backoff
    for name, value in (("minimumBackoff", least), ("maximumBackoff", most)):
        if value is not None and not 0 <= value <= MAX_PUSH_BACKOFF:
            problems.add(f"{field}.{name}", f"{_s(value)} is not from 0s to {_s(MAX_PUSH_BACKOFF)}")
    if least is not None and least > most:
        problem = f"{_s(least)} is more than maximumBackoff {_s(most)}"
        problems.add(f"{field}.minimumBackoff", problem)
    attempts = policy.max_delivery_attempts
    if attempts is not None and not MIN_DELIVERY_ATTEMPTS <= attempts <= MAX_DELIVERY_ATTEMPTS:
        problems.violations.append(
            Violation(
                "deadLetterPolicy.maxDeliveryAttempts",
                f"{attempts} is not from {MIN_DELIVERY_ATTEMPTS} to {MAX_DELIVERY_ATTEMPTS}",
            )
        )
    if not MIN_RETENTION <= policy.retention <= MAX_RETENTION:
        problem = f"{_s(policy.retention)} is not from {_s(MIN_RETENTION)} to {_s(MAX_RETENTION)}"
        problems.add("messageRetentionDuration", problem)


def _s(seconds: float) -> str:
    return f"{seconds:.10g}s"
