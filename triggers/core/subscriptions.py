"""A subscription of ours: messages of a Pub/Sub topic to one target. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from jobrunner.core.records import Scope
from triggers.core.records import DEFAULT_BACKLOG, HttpTarget, JobTarget, PushRetry


class Intake(StrEnum):
    """How messages come in."""

    PUSH = "push"
    """Somebody posts them to ``/push/NAME``."""
    PULL = "pull"
    """We consume a subscription of Pub/Sub."""


class Wrapping(StrEnum):
    """The form of a message in a request, the same coming in by push and going out."""

    WRAPPED = "wrapped"
    UNWRAPPED = "unwrapped"
    """The data alone."""
    UNWRAPPED_METADATA = "unwrapped-metadata"
    """The data, and what belongs to it in headers."""


class AckPolicy(StrEnum):
    """When Pub/Sub is told that a message was taken."""

    DURABLE = "durable"
    """Once it is stored: our engine retries."""
    FINISHED = "finished"
    """Once the target has accepted it: Pub/Sub retries, and each delivery is one attempt."""


class SubscriptionState(StrEnum):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"


class TokenKeys(StrEnum):
    """Whose keys a token must be signed with."""

    GOOGLE = "google"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """What the token of a push request must say. An ``issuer`` that is empty is the usual one of
    the keys; an ``audience`` that is empty is the URL of the push endpoint; an ``email`` that is
    empty is any."""

    keys: TokenKeys = TokenKeys.GOOGLE
    issuer: str = ""
    audience: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """``topic`` and ``pubsub_subscription`` are full names: ``projects/P/topics/T`` and
    ``projects/P/subscriptions/S``. The second is what a pull consumes and what an envelope names;
    empty, it follows from project and name.

    ``filter`` is in the grammar of :mod:`triggers.core.message_filters`; empty lets all pass.
    Retention and dead letters of deliveries are in ``retry``. ``dead_letter_topic`` is a full name,
    or empty. ``secret_hash`` is the SHA-256 in hex of the ``?token=`` that a sender must give,
    empty for none. ``backlog`` is how many deliveries may be unsettled before a push is answered
    429 and a pull stops reading.
    """

    uid: str
    project: str
    region: str
    name: str
    target: HttpTarget | JobTarget
    topic: str = ""
    pubsub_subscription: str = ""
    intake: Intake = Intake.PUSH
    accepts: Wrapping = Wrapping.WRAPPED
    sends: Wrapping = Wrapping.WRAPPED
    filter: str = ""
    retry: PushRetry = field(default_factory=PushRetry)
    ack: AckPolicy = AckPolicy.DURABLE
    ack_deadline: float = 10.0
    dead_letter_topic: str = ""
    ordered: bool = False
    exactly_once: bool = False
    token: TokenCheck | None = None
    secret_hash: str = ""
    backlog: int = DEFAULT_BACKLOG
    labels: dict[str, str] = field(default_factory=dict)
    state: SubscriptionState = SubscriptionState.ACTIVE
    created_at: float = 0.0
    updated_at: float = 0.0
    resource_version: int = 1

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)

    @property
    def full_name(self) -> str:
        """What envelopes name."""
        return self.pubsub_subscription or f"projects/{self.project}/subscriptions/{self.name}"

    @property
    def counts_attempts(self) -> bool:
        """Whether its messages carry the number of the delivery attempt."""
        return self.retry.max_delivery_attempts is not None
