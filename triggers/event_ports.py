"""What subscriptions and event triggers need from the world, promised in prose.

Each method of a store is one transaction, or a part of the one that is open
(:meth:`jobrunner.ports.Store.group`). They raise StoreFault where the database fails. Instants are
Unix seconds (float, UTC).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from jobrunner.core.records import Scope
from jobrunner.ports import Page
from triggers.core.event_triggers import Channel, EventTrigger, ServiceAddress
from triggers.core.events import CloudEvent, PubsubMessage
from triggers.core.records import Unreadable
from triggers.core.subscriptions import Intake, Subscription


class SubscriptionStore(Protocol):
    """Keeps subscriptions; their deliveries are with the others. ``version`` in a method is the
    ``resource_version`` that was read."""

    def create(self, subscription: Subscription) -> None:
        """Raises AlreadyExists."""
        ...

    def find(self, scope: Scope, name: str) -> Subscription | None: ...

    def named(self, name: str) -> Sequence[Subscription]:
        """Those of that name in any project and region: a push path names no more."""
        ...

    def get(self, uid: str) -> Subscription:
        """Raises NotFound."""
        ...

    def listing(
        self,
        project: str | None,
        region: str | None = None,
        *,
        intake: Intake | None = None,
        page: Page | None = None,
    ) -> Sequence[Subscription]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        ...

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Subscription | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        ...

    def put(self, subscription: Subscription, *, version: int) -> None:
        """Writes all but uid and name if it still has that version. Raises NotFound, Conflict."""
        ...

    def delete(self, uid: str) -> None:
        """Nothing happens if it is not there. Its deliveries stay."""
        ...


class EventTriggerStore(Protocol):
    """Keeps event triggers. ``version`` as above."""

    def create(self, trigger: EventTrigger) -> None:
        """Raises AlreadyExists."""
        ...

    def find(self, scope: Scope, name: str) -> EventTrigger | None: ...

    def get(self, uid: str) -> EventTrigger:
        """Raises NotFound."""
        ...

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[EventTrigger]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        ...

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[EventTrigger | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        ...

    def awaiting(self, event_type: str, channel: str = "") -> Sequence[EventTrigger]:
        """Those of any place whose filter of the type says exactly this, and those whose filter of
        the type is a pattern; with the channel of that full name, or with none. By project, region
        and name."""
        ...

    def put(self, trigger: EventTrigger, *, version: int) -> None:
        """Writes all but uid and name if it still has that version. Raises NotFound, Conflict."""
        ...

    def delete(self, uid: str) -> None:
        """Nothing happens if it is not there. Its deliveries stay."""
        ...


class ChannelStore(Protocol):
    """Keeps channels. ``version`` as above."""

    def create(self, channel: Channel) -> None:
        """Raises AlreadyExists."""
        ...

    def find(self, scope: Scope, name: str) -> Channel | None: ...

    def get(self, uid: str) -> Channel:
        """Raises NotFound."""
        ...

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Channel]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        ...

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Channel | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        ...

    def put(self, channel: Channel, *, version: int) -> None:
        """Writes all but uid and name if it still has that version. Raises NotFound, Conflict."""
        ...

    def delete(self, uid: str) -> None:
        """Nothing happens if it is not there."""
        ...


class ServiceBook(Protocol):
    """Names of services and where they are."""

    def find(self, scope: Scope, name: str) -> ServiceAddress | None: ...

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[ServiceAddress]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        ...

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[ServiceAddress | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        ...

    def put(self, address: ServiceAddress) -> None:
        """Adds it, or writes over the one of that name."""
        ...

    def delete(self, scope: Scope, name: str) -> bool:
        """Says whether it was there."""
        ...


@dataclass(frozen=True, slots=True)
class Led:
    """What an event has led to at one trigger: the uid of a ``delivery``, or a ``problem`` that
    kept it from being made. ``again`` says that the same event was there before, and that the
    delivery is the one of then."""

    project: str
    region: str
    trigger: str
    delivery: str = ""
    again: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """An event that came in ``at``, by the channel of that full name or by none. The log may keep
    less than all of its data; ``size`` is how many bytes there were. ``position`` is 0 before it is
    written."""

    at: float
    scope: Scope
    channel: str
    event: CloudEvent
    led: tuple[Led, ...] = ()
    size: int = 0
    position: int = 0


class Cursors(Protocol):
    """How far readers have come in feeds that several runners read."""

    def take(self, name: str) -> int | None:
        """Inside a transaction, and until that ends: nobody else takes the same. 0 for a new one;
        ``None`` while another runner has it."""
        ...

    def put(self, name: str, position: int) -> None:
        """Of one that was taken in this transaction."""
        ...


class EventLog(Protocol):
    """What has come in of late, bounded: the oldest go when new ones come."""

    def append(self, entries: Sequence[Logged]) -> Sequence[int]:
        """Their positions. Later ones are greater; there may be gaps, and with several runners an
        event may be seen after one that came later."""
        ...

    def listing(
        self,
        project: str | None = None,
        *,
        after: int | None = None,
        event_type: str | None = None,
        limit: int = 100,
    ) -> Sequence[Logged]:
        """Oldest first: those behind ``after``, or without it the last ``limit`` ones. ``None`` is
        any."""
        ...

    def get(self, position: int) -> Logged:
        """Raises NotFound."""
        ...


# ---------------------------------------------------------------- what is consumed


@dataclass(frozen=True, slots=True)
class PubsubSource:
    """A subscription of Pub/Sub that is consumed, and how it is made where it is missing and may be
    made. ``subscription``, ``topic`` and ``dead_letter_topic`` are full names, the last two may be
    empty. ``min_backoff`` is ``None`` without a retry policy, ``max_delivery_attempts`` without a
    dead-letter policy. Durations are seconds."""

    subscription: str
    topic: str = ""
    filter: str = ""
    ack_deadline: float = 10.0
    ordered: bool = False
    exactly_once: bool = False
    min_backoff: float | None = None
    max_backoff: float = 600.0
    max_delivery_attempts: int | None = None
    dead_letter_topic: str = ""


class Response(StrEnum):
    """What Pub/Sub is told of a message."""

    ACKNOWLEDGE = "acknowledge"
    REFUSE = "refuse"
    """It is to come again, after a pause."""
    LATER = "later"
    """Nothing yet: it is kept, and offered again with what came after it."""


class Consumer(Protocol):
    """Takes in the messages of one subscription of Pub/Sub."""

    @property
    def key(self) -> str:
        """Another one is another consumer: whatever changes it makes a new key."""
        ...

    @property
    def source(self) -> PubsubSource: ...

    async def take(
        self, messages: Sequence[PubsubMessage]
    ) -> Sequence[Response | Awaitable[Response]]:
        """One for each, in their order; what can only be said later may be awaited for as long as
        it lasts. ``delivery_attempt`` is what Pub/Sub says. Raises JobrunnerError; then nothing of
        it was written, and all are offered again."""
        ...


class PubsubTrouble(Exception):
    """Pub/Sub did not do what it was asked for; the text says why."""


class PubsubAdmin(Protocol):
    """Makes and removes topics and subscriptions, by their full names. What is there already, or is
    gone already, is well. Each raises PubsubTrouble."""

    async def make_topic(self, name: str) -> None: ...

    async def make_subscription(self, name: str, topic: str) -> None:
        """With what Eventarc sets: ten minutes to acknowledge, a day of retention."""
        ...

    async def drop_topic(self, name: str) -> None: ...

    async def drop_subscription(self, name: str) -> None: ...
