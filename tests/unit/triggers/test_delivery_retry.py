"""Retry policies are data, and their formulas those of the contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import InvalidSpec
from triggers.core.records import (
    EventRetry,
    ManualRetry,
    PushRetry,
    QueueRetry,
    RetryPolicy,
    ScheduleRetry,
)
from triggers.core.retry import (
    LONGEST_PAUSE,
    Exhausted,
    History,
    RetryAt,
    ages_out_at,
    backoff,
    check_retry,
    next_attempt,
    push_pause,
)

T0 = 1_000_000.0


def delays(policy: RetryPolicy, most: int = 1000) -> list[float]:
    """Of a target that fails at once, each time."""
    now, found = T0, []
    for attempt in range(1, most + 1):
        after = next_attempt(policy, History(attempt, T0, T0), now)
        if isinstance(after, Exhausted):
            break
        found.append(round(after.delay, 6))
        now = after.at
    return found


@pytest.mark.parametrize(
    ("least", "most", "doublings", "sequence"),
    [
        (10, 300, 3, "10 20 40 80 160 240 300 300 300"),
        (5, 3600, 5, "5 10 20 40 80 160 320 480 640 800"),
        (10, 3600, 0, "10 20 30 40 50"),
        (0.1, 3600, 16, "0.1 0.2 0.4 0.8 1.6"),
        (30, 20, 5, "20 20 20"),
        (0, 3600, 5, "0 0 0 0 0 0 0 0"),
    ],
)
def test_back_off_doubles_then_grows_by_one_step_and_stops_at_the_ceiling(
    least: float, most: float, doublings: int, sequence: str
) -> None:
    wanted = [float(word) for word in sequence.split()]
    retries = range(1, len(wanted) + 1)
    found = [
        backoff(k, min_backoff=least, max_backoff=most, max_doublings=doublings) for k in retries
    ]
    assert found == pytest.approx(wanted)


def test_the_defaults_of_a_queue_reach_an_hour_with_the_seventeenth_retry() -> None:
    found = delays(QueueRetry())
    assert found[14:18] == [1638.4, 3276.8, 3600.0, 3600.0]
    assert len(found) == 99


def test_a_schedule_retries_not_at_all_by_default() -> None:
    after = next_attempt(ScheduleRetry(), History(1, T0), T0)
    assert after == Exhausted("no retries: retryCount is 0")


def test_five_retries_of_a_schedule_end_at_least_155_seconds_after_the_first_attempt() -> None:
    assert delays(ScheduleRetry(retry_count=5)) == [5, 10, 20, 40, 80]


def test_a_duration_alone_limits_a_schedule() -> None:
    assert delays(ScheduleRetry(max_retry_duration=75)) == [5, 10, 20, 40]
    assert delays(ScheduleRetry(max_retry_duration=74.9)) == [5, 10, 20]


def test_with_two_limits_retrying_ends_when_both_are_reached() -> None:
    assert delays(ScheduleRetry(retry_count=1, max_retry_duration=75)) == [5, 10, 20, 40]
    assert delays(ScheduleRetry(retry_count=5, max_retry_duration=20)) == [5, 10, 20, 40, 80]
    policy = QueueRetry(max_attempts=3, max_retry_duration=100, min_backoff=10)
    assert delays(policy) == [10, 20, 40]
    words = next_attempt(policy, History(9, T0), T0 + 200)
    assert words == Exhausted("maxAttempts 3 is used up and maxRetryDuration 100s has passed")


def test_the_attempts_of_a_queue_include_the_first() -> None:
    assert delays(QueueRetry(max_attempts=1)) == []
    assert len(delays(QueueRetry(max_attempts=4))) == 3


def test_a_queue_without_a_limit_of_attempts_goes_on_until_the_duration_if_there_is_one() -> None:
    assert len(delays(QueueRetry(max_attempts=-1), most=500)) == 500
    assert delays(QueueRetry(max_attempts=-1, max_retry_duration=0.7)) == [0.1, 0.2, 0.4]


def test_a_queue_waits_as_long_as_the_answer_asks_but_not_beyond_its_ceiling() -> None:
    policy = QueueRetry(max_backoff=60)
    asked = next_attempt(policy, History(1, T0), T0, retry_after=30)
    assert isinstance(asked, RetryAt)
    assert (asked.at, asked.reason) == (T0 + 30, "retry 1 after 0.1s; the answer asked for 30s")
    for seconds, delay in ((0.01, 0.1), (1e9, 60)):
        after = next_attempt(policy, History(1, T0), T0, retry_after=seconds)
        assert isinstance(after, RetryAt)
        assert after.delay == delay


def test_what_is_sent_by_hand_is_tried_again_five_times_where_nobody_says_how_often() -> None:
    assert delays(ManualRetry()) == [5, 10, 20, 40, 80]
    assert next_attempt(ManualRetry(retry_count=0), History(1, T0), T0) == Exhausted(
        "no retries: retryCount is 0"
    )
    assert len(delays(ManualRetry(retry_count=50))) == 50
    assert delays(ManualRetry(retry_count=None, max_retry_duration=75)) == [5, 10, 20, 40]
    spent = next_attempt(ManualRetry(retry_count=1), History(2, T0), T0)
    assert spent == Exhausted("retryCount 1 is used up")
    asked = next_attempt(ManualRetry(), History(1, T0), T0, retry_after=30)
    assert isinstance(asked, RetryAt)
    assert asked.delay == 30


def test_push_without_a_retry_policy_goes_again_at_once_unless_the_subscription_pauses() -> None:
    past = History(3, T0, T0)
    assert next_attempt(PushRetry(), past, T0) == RetryAt(T0, 0.0, "no retry policy")
    paused = next_attempt(PushRetry(), past, T0, pause=1.6)
    assert paused == RetryAt(T0 + 1.6, 1.6, "no retry policy; the subscription pauses for 1.6s")


def test_push_waits_for_the_larger_of_its_back_off_and_the_pause() -> None:
    policy = PushRetry(min_backoff=10)
    assert delays(policy, 8) == [10, 20, 40, 80, 160, 320, 600, 600]
    for pause, delay in ((5.0, 10.0), (50.0, 50.0)):
        after = next_attempt(policy, History(1, T0, T0), T0, pause=pause)
        assert isinstance(after, RetryAt)
        assert after.delay == delay


def test_push_goes_to_the_dead_letters_at_its_limit_of_attempts() -> None:
    policy = PushRetry(max_delivery_attempts=5)
    assert isinstance(next_attempt(policy, History(4, T0, T0), T0), RetryAt)
    after = next_attempt(policy, History(5, T0, T0), T0)
    assert after == Exhausted("maxDeliveryAttempts 5 is used up")


def test_push_ends_with_the_retention_of_the_message_which_counts_from_its_publication() -> None:
    policy = PushRetry(retention=600)
    assert isinstance(next_attempt(policy, History(1, T0 + 500, T0), T0 + 600), RetryAt)
    assert isinstance(next_attempt(policy, History(1, T0 + 500, T0), T0 + 601), Exhausted)
    assert ages_out_at(policy, T0) == T0 + 600
    assert ages_out_at(QueueRetry(), T0) == T0 + 31 * 86_400


def test_events_back_off_from_ten_seconds_to_ten_minutes_for_a_day() -> None:
    found = delays(EventRetry())
    assert found[:8] == [10, 20, 40, 80, 160, 320, 600, 600]
    assert sum(found) <= 86_400 < sum(found) + 600


def test_an_event_trigger_with_max_attempts_one_retries_nothing() -> None:
    assert delays(EventRetry(max_attempts=1)) == []


def test_an_event_goes_to_the_dead_letters_where_its_subscription_has_some() -> None:
    assert len(delays(EventRetry(max_delivery_attempts=5))) == 4


def test_the_pause_of_a_subscription_grows_from_a_tenth_to_a_minute_and_shrinks_again() -> None:
    pause, grown = 0.0, []
    for _ in range(12):
        pause = push_pause(pause, accepted=False)
        grown.append(pause)
    assert grown[:3] == [0.1, 0.2, 0.4]
    assert grown[-1] == LONGEST_PAUSE
    for _ in range(12):
        pause = push_pause(pause, accepted=True)
    assert pause == 0.0


seconds = st.floats(0, 10_000, allow_nan=False)


@given(st.integers(1, 10**6), seconds, seconds, st.one_of(st.none(), st.integers(0, 10**6)))
def test_back_off_never_shrinks_and_never_exceeds_its_ceiling(
    retry: int, least: float, most: float, doublings: int | None
) -> None:
    def at(k: int) -> float:
        return backoff(k, min_backoff=least, max_backoff=most, max_doublings=doublings)

    assert 0 <= at(retry) <= at(retry + 1) <= most


@given(st.integers(0, 5), seconds, st.integers(1, 20), seconds)
def test_a_schedule_goes_on_exactly_while_one_of_its_limits_is_not_reached(
    count: int, duration: float, attempts: int, elapsed: float
) -> None:
    policy = ScheduleRetry(retry_count=count, max_retry_duration=duration)
    after = next_attempt(policy, History(attempts, T0), T0 + elapsed)
    delay = backoff(attempts, min_backoff=5, max_backoff=3600, max_doublings=5)
    by_count = attempts <= count
    by_time = duration > 0 and T0 + elapsed + delay - T0 <= duration
    assert isinstance(after, RetryAt) == (by_count or by_time)


@given(st.integers(1, 20), st.floats(0, 1, exclude_max=True))
def test_jitter_lengthens_by_a_tenth_at_most_and_only_where_delays_are_approximate(
    attempts: int, jitter: float
) -> None:
    past = History(attempts, T0, T0)
    exact = next_attempt(EventRetry(), past, T0)
    moved = next_attempt(EventRetry(), past, T0, jitter=jitter)
    assert isinstance(exact, RetryAt)
    assert isinstance(moved, RetryAt)
    assert exact.delay <= moved.delay <= min(exact.delay * 1.1 + 1e-9, 600)
    queue = QueueRetry()
    assert next_attempt(queue, past, T0) == next_attempt(queue, past, T0, jitter=jitter)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (ScheduleRetry(retry_count=6), "retryConfig.retryCount: 6 is not from 0 to 5"),
        (ScheduleRetry(retry_count=-1), "retryConfig.retryCount: -1 is not from 0 to 5"),
        (
            ScheduleRetry(min_backoff=10, max_backoff=5),
            "retryConfig.minBackoffDuration: 10s is more than maxBackoffDuration 5s",
        ),
        (
            ScheduleRetry(max_retry_duration=-1),
            "retryConfig.maxRetryDuration: -1s is not a duration of 0s or more",
        ),
        (ScheduleRetry(max_doublings=-1), "retryConfig.maxDoublings: -1 is not 0 or more"),
        (
            QueueRetry(max_attempts=0),
            "retryConfig.maxAttempts: 0 is not 1 or more, or -1 for no limit",
        ),
        (
            QueueRetry(min_backoff=2, max_backoff=1),
            "retryConfig.minBackoff: 2s is more than maxBackoff 1s",
        ),
        (
            PushRetry(max_delivery_attempts=4),
            "deadLetterPolicy.maxDeliveryAttempts: 4 is not from 5 to 100",
        ),
        (
            PushRetry(min_backoff=0, max_backoff=601),
            "retryConfig.maximumBackoff: 601s is not from 0s to 600s",
        ),
        (PushRetry(retention=60), "messageRetentionDuration: 60s is not from 600s to 2678400s"),
        (
            EventRetry(max_attempts=2),
            "retryConfig.maxAttempts: 2 is not 1, the only value there is",
        ),
    ],
)
def test_a_policy_out_of_bounds_is_refused_with_field_value_and_allowed_form(
    policy: RetryPolicy, message: str
) -> None:
    with pytest.raises(InvalidSpec) as error:
        check_retry(policy)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "policy",
    [ScheduleRetry(), QueueRetry(), QueueRetry(max_attempts=-1), PushRetry(), EventRetry()],
)
def test_every_default_is_within_bounds(policy: RetryPolicy) -> None:
    check_retry(policy)
