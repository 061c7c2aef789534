"""Event triggers, channels and the addresses of services. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from jobrunner.core.records import Scope
from jobrunner.core.spec import Overrides
from triggers.core.records import DEFAULT_BACKLOG, Ack, EventRetry

MATCH_PATH_PATTERN = "match-path-pattern"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """``operator`` is empty for equality, or ``match-path-pattern``."""

    attribute: str
    value: str
    operator: str = ""


@dataclass(frozen=True, slots=True)
class ServiceDestination:
    """``service`` is a name in the book of services, or a URL. ``path`` is relative to it. A
    ``region`` that is empty is the trigger's."""

    service: str
    path: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class JobDestination:
    """Texts of ``overrides`` (args and values of variables) are templates, see
    :mod:`triggers.core.templates`. ``project`` and ``region`` that are empty are the trigger's."""

    job: str
    project: str = ""
    region: str = ""
    overrides: Overrides = field(default_factory=Overrides)
    ack: Ack = Ack.ON_START


@dataclass(frozen=True, slots=True)
class HttpDestination:
    uri: str


@dataclass(frozen=True, slots=True)
class TopicDestination:
    """``topic`` is a full name."""

    topic: str


Destination = ServiceDestination | JobDestination | HttpDestination | TopicDestination


@dataclass(frozen=True, slots=True)
class Transport:
    """Full names in Pub/Sub; empty before they are known. ``own_topic`` says that somebody else
    made the topic, and that it outlives the trigger."""

    topic: str = ""
    subscription: str = ""
    own_topic: bool = False


@dataclass(frozen=True, slots=True)
class TriggerCondition:
    """Something that keeps a trigger from working. ``code`` is a word of google.rpc.Code, for
    example ``NOT_FOUND``."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """All ``filters`` and the ``expression`` (empty for none, see
    :mod:`triggers.core.expression`) must agree. ``channel`` is a full name, or empty.
    ``service_account`` signs the calls, if there is one. ``deadline`` is how long a call may take.
    ``backlog`` is how many deliveries may be unsettled before senders are refused.
    """

    uid: str
    project: str
    region: str
    name: str
    filters: tuple[EventFilter, ...]
    destination: Destination
    expression: str = ""
    service_account: str = ""
    transport: Transport = field(default_factory=Transport)
    channel: str = ""
    content_type: str = "application/json"
    retry: EventRetry = field(default_factory=EventRetry)
    dead_letter_topic: str = ""
    deadline: float = 600.0
    backlog: int = DEFAULT_BACKLOG
    labels: dict[str, str] = field(default_factory=dict)
    conditions: tuple[TriggerCondition, ...] = ()
    created_at: float = 0.0
    updated_at: float = 0.0
    resource_version: int = 1

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)

    @property
    def full_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/triggers/{self.name}"

    @property
    def etag(self) -> str:
        # The end of a uid: its beginning is the instant, and may be that of the one before.
        return f'"{self.uid[-12:]}-{self.resource_version}"'

    @property
    def event_type(self) -> str:
        """What its filters say; empty if they say nothing."""
        for one in self.filters:
            if one.attribute == "type" and not one.operator:
                return one.value
        return ""


class ChannelState(StrEnum):
    """The contract's words."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


@dataclass(frozen=True, slots=True)
class Channel:
    """Where custom events come in. ``pubsub_topic`` is a full name."""

    uid: str
    project: str
    region: str
    name: str
    provider: str = ""
    pubsub_topic: str = ""
    state: ChannelState = ChannelState.ACTIVE
    activation_token: str = ""
    crypto_key: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    created_at: float = 0.0
    updated_at: float = 0.0
    resource_version: int = 1

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)

    @property
    def full_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/channels/{self.name}"


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where a service of that name is found; ``url`` has no query."""

    project: str
    region: str
    name: str
    url: str
    updated_at: float = 0.0

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)
