"""What the end of an attempt means for its task. How it ended is a fact; this is the judgement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jobrunner.core.records import Attempt
from jobrunner.core.retry import RetryAction, RetryCause, RetryPolicy, RetryRule
from jobrunner.core.states import AttemptState


class Ruling(StrEnum):
    DONE = "done"
    RETRY = "retry"
    GIVE_UP = "give-up"
    FAIL_EXECUTION = "fail-execution"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``not_before`` (Unix seconds) holds a retry back; ``None`` means at once."""

    ruling: Ruling
    not_before: float | None = None


def judge(
    attempt: Attempt,
    policy: RetryPolicy,
    *,
    counted: int,
    lost: int,
    now: float,
    aborting: bool,
    permanent: bool = False,
) -> Verdict:
    """Judges an ended ``attempt`` of a task with ``counted`` failures and ``lost`` attempts, this
    one included.

    ``permanent`` marks a launch that would fail the same way for every task. While the execution
    is being aborted nothing is tried again.
    """
    if attempt.state is AttemptState.SUCCEEDED:
        return Verdict(Ruling.DONE)
    if attempt.state is AttemptState.CANCELLED:
        return Verdict(Ruling.CANCELLED)
    if attempt.state is AttemptState.LOST:
        if policy.max_retries == 0 or lost > policy.lost_limit:
            return Verdict(Ruling.GIVE_UP)
        return Verdict(Ruling.CANCELLED if aborting else Ruling.RETRY)

    action = action_for(attempt, policy)
    if action is RetryAction.FAIL_EXECUTION or (permanent and action is None):
        return Verdict(Ruling.FAIL_EXECUTION)
    if action is RetryAction.FAIL_TASK or counted > policy.max_retries:
        return Verdict(Ruling.GIVE_UP)
    if aborting:
        return Verdict(Ruling.CANCELLED)
    delay = back_off(policy, counted)
    return Verdict(Ruling.RETRY, now + delay if delay > 0 else None)


def action_for(attempt: Attempt, policy: RetryPolicy) -> RetryAction | None:
    """The action of the first rule that matches how ``attempt`` ended; ``None`` if none does."""
    for rule in policy.rules:
        if matches(rule, attempt):
            return rule.action
    return None


def matches(rule: RetryRule, attempt: Attempt) -> bool:
    if rule.on is RetryCause.TIMEOUT:
        return attempt.state is AttemptState.TIMED_OUT
    if rule.on is RetryCause.OOM:
        return attempt.oom
    if rule.on is RetryCause.LAUNCH_FAILED:
        return attempt.launched_at is None
    if attempt.state is AttemptState.TIMED_OUT:
        return False
    if attempt.signal is not None:
        return attempt.signal in rule.signals
    code = attempt.exit_code
    return code is not None and any(low <= code <= high for low, high in rule.codes)


def back_off(policy: RetryPolicy, failures: int) -> float:
    """Seconds before the next try after ``failures`` (1 or more) counted ones: the first wait,
    doubled each time, never more than the longest."""
    if policy.backoff <= 0 or failures < 1:
        return 0.0
    longest = policy.max_backoff if policy.max_backoff is not None else policy.backoff * 2.0**16
    return min(policy.backoff * 2.0 ** min(failures - 1, 60), longest)
