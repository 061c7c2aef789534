"""A queue sends as fast as it may and no faster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import InvalidSpec
from triggers.core.rates import (
    LEAST_SHARE,
    Bucket,
    RateLimits,
    check_rates,
    full,
    next_at,
    recovered,
    take,
    throttled,
)

T0 = 1_000_000.0


def sent(limits: RateLimits, bucket: Bucket, start: float, seconds: float) -> tuple[int, Bucket]:
    """How many go when each goes as soon as it may."""
    count, now = 0, start
    while True:
        bucket, may = take(limits, bucket, now)
        if may:
            count += 1
            continue
        following = next_at(limits, bucket, now)
        if following is None or following > start + seconds:
            return count, bucket
        assert following > now
        now = following


def test_after_a_rest_a_burst_goes_at_once_and_then_the_rate_holds() -> None:
    limits = RateLimits(per_second=10, burst=5)
    count, bucket = sent(limits, full(limits, T0), T0, 0)
    assert count == 5
    assert sent(limits, bucket, T0, 2)[0] == 20


def test_a_queue_with_rate_zero_sends_its_burst_and_never_again() -> None:
    limits = RateLimits(per_second=0, burst=1)
    count, bucket = sent(limits, full(limits, T0), T0, 1e9)
    assert count == 1
    assert next_at(limits, bucket, T0 + 1e9) is None


def test_a_tired_target_halves_the_rate_and_answers_bring_it_back() -> None:
    limits = RateLimits(per_second=100, burst=50)
    bucket = throttled(limits, full(limits, T0), T0)
    assert (bucket.share, bucket.tokens) == (0.5, 1.0)
    for _ in range(20):
        bucket = throttled(limits, bucket, T0)
    assert bucket.share == LEAST_SHARE
    for _ in range(60):
        bucket = recovered(limits, bucket, T0)
    assert bucket.share == 1.0


@given(
    st.floats(0.1, 500),
    st.integers(1, 50),
    st.lists(st.floats(-5, 5), max_size=40),
)
def test_however_time_passes_no_more_go_than_burst_and_rate_allow(
    rate: float, burst: int, moves: list[float]
) -> None:
    limits = RateLimits(per_second=rate, burst=burst)
    bucket, now, count = full(limits, T0), T0, 0
    forward = 0.0
    for move in moves:
        now += move
        forward += max(0.0, move)
        while True:
            bucket, may = take(limits, bucket, now)
            if not may:
                break
            count += 1
    assert count <= burst + forward * rate + 1e-6 + 1


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (RateLimits(per_second=501), "rateLimits.maxDispatchesPerSecond: 501 is not from 0 to 500"),
        (RateLimits(per_second=-1), "rateLimits.maxDispatchesPerSecond: -1 is not"),
        (RateLimits(concurrent=5001), "rateLimits.maxConcurrentDispatches: 5001 is not from 1 to"),
        (RateLimits(burst=0), "rateLimits.maxBurstSize: 0 is not 1 or more"),
    ],
)
def test_limits_out_of_bounds_are_refused(limits: RateLimits, message: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        check_rates(limits)
    assert message in str(error.value)


def test_the_defaults_are_within_bounds() -> None:
    check_rates(RateLimits())
