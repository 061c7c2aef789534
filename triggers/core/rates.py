"""How fast a queue may send: a bucket of tokens, and what happens to it when the target is tired.

Pure: the bucket is a value, the time comes in. Retries are another matter, see
:mod:`triggers.core.retry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec

MAX_PER_SECOND = 500.0
MAX_CONCURRENT = 5000
LEAST_SHARE = 1 / 64
"""A throttled queue goes no slower than this part of its rate."""
DUST = 1e-3
"""The part of a token that may be owed: the instant at which one is there cannot be said more
exactly than a float of Unix seconds can, and whoever comes then must not come in vain."""
LARGEST_SKEW = 60.0
"""Seconds by which the clocks of runners may differ; a larger step back is a clock set anew."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The contract's; ``burst`` is how many may go at once after a rest."""

    per_second: float = 500.0
    burst: int = 100
    concurrent: int = 1000


class Bucket(NamedTuple):
    """``tokens`` there were at ``at`` (Unix seconds). ``share`` of the rate is in force: 1 unless
    the target asked for less."""

    tokens: float
    at: float
    share: float = 1.0


def full(limits: RateLimits, now: float) -> Bucket:
    return Bucket(float(limits.burst), now)


def refilled(limits: RateLimits, bucket: Bucket, now: float) -> Bucket:
    """The bucket at ``now``. A clock that went back takes nothing away."""
    passed = max(0.0, now - bucket.at)
    tokens = bucket.tokens + passed * limits.per_second * bucket.share
    behind = now < bucket.at <= now + LARGEST_SKEW
    return bucket._replace(tokens=min(tokens, float(limits.burst)), at=bucket.at if behind else now)


def take(limits: RateLimits, bucket: Bucket, now: float) -> tuple[Bucket, bool]:
    """The bucket after one attempt to send, and whether it may go."""
    here = refilled(limits, bucket, now)
    if here.tokens < 1 - DUST:
        return here, False
    return here._replace(tokens=here.tokens - 1), True


def next_at(limits: RateLimits, bucket: Bucket, now: float) -> float | None:
    """When one may go; ``None`` for a queue whose rate is 0: never."""
    here = refilled(limits, bucket, now)
    if here.tokens >= 1 - DUST:
        return now
    rate = limits.per_second * here.share
    return here.at + (1 - here.tokens) / rate if rate > 0 else None


def full_at(limits: RateLimits, bucket: Bucket, now: float) -> float:
    """When the bucket flows over; ``now`` for one whose rate is 0."""
    here = refilled(limits, bucket, now)
    rate = limits.per_second * here.share
    return here.at + (limits.burst - here.tokens) / rate if rate > 0 else now


def throttled(limits: RateLimits, bucket: Bucket, now: float) -> Bucket:
    """After an answer that asks the whole queue to slow down: half the speed, and no burst."""
    here = refilled(limits, bucket, now)
    return here._replace(tokens=min(here.tokens, 1.0), share=max(here.share / 2, LEAST_SHARE))


def recovered(limits: RateLimits, bucket: Bucket, now: float) -> Bucket:
    """After an answer that was accepted: a tenth faster, up to the queue's own rate."""
    if bucket.share == 1.0:
        return bucket
    here = refilled(limits, bucket, now)
    return here._replace(share=min(1.0, here.share * 1.1))


def check_rates(limits: RateLimits, field: str = "rateLimits") -> None:
    """Raises InvalidSpec."""
    problems = Problems()
    if not 0 <= limits.per_second <= MAX_PER_SECOND:
        problem = f"{limits.per_second:g} is not from 0 to {MAX_PER_SECOND:g}"
        problems.add(f"{field}.maxDispatchesPerSecond", problem)
    if not 1 <= limits.concurrent <= MAX_CONCURRENT:
        problem = f"{limits.concurrent} is not from 1 to {MAX_CONCURRENT}"
        problems.add(f"{field}.maxConcurrentDispatches", problem)
    if limits.burst < 1:
        problems.add(f"{field}.maxBurstSize", f"{limits.burst} is not 1 or more")
    if problems.violations:
        raise InvalidSpec(problems.violations)
