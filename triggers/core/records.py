"""What is stored: schedules, occurrences, deliveries and their attempts as frozen values.

All instants are Unix seconds (float, UTC); all durations are seconds; sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from jobrunner.core.records import DEFAULT_PROJECT, DEFAULT_REGION, Scope
from jobrunner.core.spec import Overrides
from jobrunner.core.timestamps import format_time, parse_time
from triggers.core.states import DeliveryState, OccurrenceState

DEFAULT_BACKLOG = 10_000
"""Deliveries of a subscription or an event trigger that may be unsettled before senders have to
wait."""

Headers = tuple[tuple[str, str], ...]
"""Names and values in the order in which they were given."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What is known of a schedule, queue, subscription, trigger, … whose row is damaged. ``why``
    says what is wrong and what to do."""

    uid: str
    project: str
    region: str
    name: str
    why: str


class SourceKind(StrEnum):
    """Where a delivery comes from; each kind has its own reading of an answer."""

    SCHEDULE = "schedule"
    QUEUE = "queue"
    SUBSCRIPTION = "subscription"
    EVENT_TRIGGER = "event-trigger"
    MANUAL = "manual"
    """Somebody has sent it by hand."""


# Targets


class Ack(StrEnum):
    """When a delivery to a job counts as accepted."""

    ON_START = "start"
    """As at Google: the execution exists."""
    ON_SUCCESS = "success"
    """The execution succeeded; a failed one is tried again by the retry policy."""


@dataclass(frozen=True, slots=True)
class OidcToken:
    """``audience`` empty means the default of the source kind: the URL of the target."""

    service_account: str
    audience: str = ""


@dataclass(frozen=True, slots=True)
class OAuthToken:
    service_account: str
    scope: str = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """``deadline`` is how long one attempt may take. ``body`` is used where the delivery brings no
    payload of its own. ``response_cap`` is how much of an answer is read."""

    url: str
    method: str = "POST"
    headers: Headers = ()
    body: bytes = b""
    token: OidcToken | OAuthToken | None = None
    deadline: float = 180.0
    follow_redirects: bool = True
    response_cap: int = 64 * 1024
    verify_tls: bool = True
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class JobTarget:
    job: str
    project: str = DEFAULT_PROJECT
    region: str = DEFAULT_REGION
    overrides: Overrides = field(default_factory=Overrides)
    ack: Ack = Ack.ON_START


@dataclass(frozen=True, slots=True)
class PubsubTarget:
    """A message to ``topic`` (full name); success is that it was published."""

    topic: str
    data: bytes = b""
    attributes: Headers = ()
    ordering_key: str = ""


Target = HttpTarget | JobTarget | PubsubTarget


# Retry policies, as data; what they mean is in triggers.core.retry


@dataclass(frozen=True, slots=True)
class ScheduleRetry:
    """Cloud Scheduler. ``retry_count`` comes on top of the first attempt; a
    ``max_retry_duration`` of 0 is no limit."""

    retry_count: int = 0
    max_retry_duration: float = 0.0
    min_backoff: float = 5.0
    max_backoff: float = 3600.0
    max_doublings: int = 5


@dataclass(frozen=True, slots=True)
class QueueRetry:
    """Cloud Tasks. ``max_attempts`` includes the first one, -1 is no limit; a
    ``max_retry_duration`` of 0 is no limit."""

    max_attempts: int = 100
    max_retry_duration: float = 0.0
    min_backoff: float = 0.1
    max_backoff: float = 3600.0
    max_doublings: int = 16


@dataclass(frozen=True, slots=True)
class PushRetry:
    """Pub/Sub push. ``min_backoff`` is ``None`` for a subscription without a retry policy: as soon
    as the subscription's own pause allows. ``max_delivery_attempts`` is ``None`` without a
    dead-letter policy. ``retention`` counts from the publication of the message."""

    min_backoff: float | None = None
    max_backoff: float = 600.0
    max_delivery_attempts: int | None = None
    retention: float = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class EventRetry:
    """Eventarc. ``max_attempts`` is 1 (no retries) or ``None``; ``max_delivery_attempts`` is set
    where somebody gave the trigger's subscription a dead-letter topic. ``lifetime`` counts from
    the arrival of the event."""

    min_backoff: float = 10.0
    max_backoff: float = 600.0
    max_attempts: int | None = None
    max_delivery_attempts: int | None = None
    lifetime: float = 86_400.0


@dataclass(frozen=True, slots=True)
class ManualRetry:
    """Of what is sent by hand. ``retry_count`` comes on top of the first attempt, ``None`` is no
    limit; a ``max_retry_duration`` of 0 is no limit."""

    retry_count: int | None = 5
    max_retry_duration: float = 0.0
    min_backoff: float = 5.0
    max_backoff: float = 3600.0
    max_doublings: int = 5


RetryPolicy = ScheduleRetry | QueueRetry | PushRetry | EventRetry | ManualRetry


# Schedules


class ScheduleState(StrEnum):
    """The contract's words."""

    ENABLED = "ENABLED"
    PAUSED = "PAUSED"
    DISABLED = "DISABLED"
    """By the system: paused after too many failures."""
    UPDATE_FAILED = "UPDATE_FAILED"


class Gap(StrEnum):
    """What happens to a fixed time that the clocks jump over."""

    RUN = "run"
    """At the first instant after the gap."""
    SKIP = "skip"


class Repeat(StrEnum):
    """What happens to a fixed time that the clocks show twice."""

    FIRST = "first"
    BOTH = "both"


class Overlap(StrEnum):
    """What happens to an occurrence that is due while as many as allowed are open."""

    ALLOW = "allow"
    FORBID = "forbid"
    QUEUE_ONE = "queue-one"
    QUEUE_ALL = "queue-all"
    REPLACE = "replace"


class OverlapScope(StrEnum):
    SCHEDULE = "schedule"
    """Open occurrences of this schedule, whatever started them."""
    JOB = "job"
    """All executions of the target's job."""


class CatchUp(StrEnum):
    """What happens to occurrences that were due while nobody was there."""

    LATEST = "latest"
    ALL = "all"
    SKIP = "skip"


class Origin(StrEnum):
    """What opened an occurrence."""

    DUE = "due"
    CATCH_UP = "catch-up"
    MANUAL = "manual"
    BACKFILL = "backfill"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Schedule:
    """``expression`` is unix-cron or the English syntax, read in ``time_zone``.

    ``anchor`` is what a plain interval ("every 5 minutes") counts from: when the expression was
    set. Nothing due at or before ``armed_from`` is ever opened by the ticker: it is set when the
    schedule is created, resumed, or given another expression, so that nothing is made up for a
    pause. ``gap`` and ``repeat`` are ``None`` for the default of the syntax. ``overlap`` is
    ``None`` for the default of the target. ``catch_up_window`` bounds how old a missed occurrence
    may be to be run, ``None`` is no bound. ``spread`` and ``jitter`` delay, ``starts_at`` and
    ``ends_at`` bound, the latter inclusive. ``pause_after`` failures in a row end in DISABLED.
    """

    uid: str
    project: str
    region: str
    name: str
    expression: str
    target: Target
    time_zone: str = "Etc/UTC"
    description: str = ""
    retry: RetryPolicy = field(default_factory=ScheduleRetry)
    state: ScheduleState = ScheduleState.ENABLED
    gap: Gap | None = None
    repeat: Repeat | None = None
    overlap: Overlap | None = None
    overlap_limit: int = 1
    overlap_scope: OverlapScope = OverlapScope.SCHEDULE
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_limit: int = 100
    catch_up_window: float | None = None
    spread: int = 0
    jitter: float = 0.0
    anchor: float = 0.0
    armed_from: float = 0.0
    starts_at: float | None = None
    ends_at: float | None = None
    pause_after: int | None = None
    failures: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0
    resource_version: int = 1

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)


class OccurrenceKey(NamedTuple):
    """What makes an occurrence one of a kind, whatever number of runners open it.

    ``nominal`` is the scheduled instant in whole seconds, before spread and jitter. ``backfill``
    is the id of a backfill, or of a run by hand; ``None`` for what the clock brings.
    """

    schedule: str
    nominal: int
    backfill: str | None = None

    def __str__(self) -> str:
        text = f"{self.schedule}/{format_time(self.nominal)[:19]}Z"
        return text if self.backfill is None else f"{text}/{self.backfill}"

    @classmethod
    def parse(cls, text: str) -> OccurrenceKey:
        """Reads what ``str`` gives. Raises ValueError."""
        schedule, _, rest = text.partition("/")
        instant, slash, backfill = rest.partition("/")
        if not schedule or (slash and not backfill):
            raise ValueError(f"'{text}' is not the key of an occurrence")
        return cls(schedule, int(parse_time(instant)), backfill or None)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One due moment of a schedule. ``due_at`` is the nominal instant with spread and jitter.
    ``reason`` says in words why it is what it is."""

    key: OccurrenceKey
    due_at: float
    state: OccurrenceState
    origin: Origin = Origin.DUE
    reason: str = ""
    delivery: str | None = None
    created_at: float = 0.0
    opened_at: float | None = None
    settled_at: float | None = None


# Deliveries


@dataclass(frozen=True, slots=True)
class Payload:
    """What one delivery carries, beyond what its target always sends."""

    body: bytes = b""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """The durable duty to call one target with one payload.

    ``key`` is unique within the source and makes opening it idempotent. Deliveries of one source
    with the same ``order_key`` go one after the other. ``attempts`` counts those that the retry
    policy counts, ``responses`` those answered with anything but a server error, ``unknown``
    those whose end nobody saw. ``run_try`` is the number of executions of a job target that ended
    with a recorded failure. ``queued_at`` is when its source had it first: publication, arrival
    or the scheduled instant. ``parent`` is the delivery that this one replays. ``forced`` is one
    that somebody wants sent now, past the gate of its queue, until the attempt has ended.
    """

    uid: str
    project: str
    region: str
    source: SourceKind
    source_name: str
    key: str
    target: Target
    retry: RetryPolicy
    payload: Payload | None = None
    order_key: str | None = None
    state: DeliveryState = DeliveryState.PENDING
    created_at: float = 0.0
    queued_at: float = 0.0
    not_before: float = 0.0
    first_attempt_at: float | None = None
    last_attempt_at: float | None = None
    attempts: int = 0
    responses: int = 0
    unknown: int = 0
    last_status: int | None = None
    lease_owner: str | None = None
    lease_until: float | None = None
    run_try: int = 0
    execution: str | None = None
    parent: str | None = None
    hops: int = 0
    reason: str = ""
    settled_at: float | None = None
    forced: bool = False

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)


class Ruling(StrEnum):
    """The reading of an answer."""

    ACCEPT = "accept"
    RETRY = "retry"
    REJECT = "reject"


class Break(StrEnum):
    """Why no answer came."""

    DEADLINE = "deadline"
    CONNECT = "connect"
    RESET = "reset"
    TLS = "tls"
    PROTOCOL = "protocol"
    REDIRECTS = "redirects"
    """Too many of them, or one that cannot be followed."""
    FORBIDDEN = "forbidden"
    """Our own list of hosts does not allow this one."""
    UNUSABLE = "unusable"
    """The target cannot be called at all: its URL, method or headers are no request."""


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One call of a target. ``number`` counts from 1. ``status`` is the HTTP status, ``None`` if
    none came; ``broken`` is why, where that is known. ``excerpt`` is the beginning of the answer.
    ``retry_at`` is when the next one was planned. ``ruling`` is ``None`` while it is on its way,
    and for good if its end is unknown."""

    delivery: str
    number: int
    started_at: float
    scheduled_at: float = 0.0
    ended_at: float | None = None
    status: int | None = None
    ruling: Ruling | None = None
    excerpt: bytes = b""
    error: str = ""
    execution: str | None = None
    retry_at: float | None = None
    broken: Break | None = None
