"""What becomes of messages that are pulled: those of a subscription, and those of the topic of an
event trigger. See :class:`triggers.event_ports.Consumer`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from jobrunner.errors import BacklogFull, NotFound
from jobrunner.ports import Clock, Commit, Ids
from triggers.core.dead_letters import dead_letter
from triggers.core.event_triggers import EventTrigger
from triggers.core.events import CloudEvent, PubsubMessage
from triggers.core.message_plans import message_key
from triggers.core.records import Delivery
from triggers.core.states import DeliveryState
from triggers.core.subscriptions import AckPolicy, Intake, Subscription, SubscriptionState
from triggers.core.transports import carried, carried_event
from triggers.errors import InvalidEvent
from triggers.event_ports import (
    Consumer,
    EventTriggerStore,
    PubsubSource,
    Response,
    SubscriptionStore,
)
from triggers.ports import DeliveryStore
from triggers.service.arrivals import Arrivals, Result, Taken
from triggers.service.events import Events
from triggers.service.settling import Settlements

WAIT_SECONDS = 3600.0
"""For an end, at once; however long it takes, it is waited for again."""
ACK_SECONDS = 600.0
"""What Eventarc gives the subscription of a trigger."""

log = logging.getLogger("jobrunner.pull")


@dataclass(frozen=True, slots=True)
class Counter:
    """What consumers share. ``opened`` is called after a commit that has opened something."""

    commit: Commit
    clock: Clock
    ids: Ids
    deliveries: DeliveryStore
    opened: Callable[[], None]


def source_of(subscription: Subscription) -> PubsubSource:
    """Dead letters of what is durable are ours alone, and so is when it is sent again."""
    finished = subscription.ack is AckPolicy.FINISHED
    retry = subscription.retry
    return PubsubSource(
        subscription=subscription.full_name,
        topic=subscription.topic,
        filter=subscription.filter,
        ack_deadline=subscription.ack_deadline,
        ordered=subscription.ordered,
        exactly_once=subscription.exactly_once,
        min_backoff=retry.min_backoff,
        max_backoff=retry.max_backoff,
        max_delivery_attempts=retry.max_delivery_attempts if finished else None,
        dead_letter_topic=subscription.dead_letter_topic,
    )


# ---------------------------------------------------------------- subscriptions


def subscriptions_to_pull(
    store: SubscriptionStore, arrivals: Arrivals, settlements: Settlements, desk: Counter
) -> Sequence[Consumer]:
    """Of all that are active. Raises StoreFault."""
    return [
        SubscriptionConsumer(one, arrivals, settlements, desk)
        for one in store.listing(None, intake=Intake.PULL)
        if one.state is SubscriptionState.ACTIVE
    ]


class SubscriptionConsumer:
    def __init__(
        self,
        subscription: Subscription,
        arrivals: Arrivals,
        settlements: Settlements,
        desk: Counter,
    ) -> None:
        self._subscription = subscription
        self._arrivals = arrivals
        self._settlements = settlements
        self._desk = desk

    @property
    def key(self) -> str:
        return f"{self._subscription.uid}/{self._subscription.resource_version}"

    @property
    def source(self) -> PubsubSource:
        return source_of(self._subscription)

    async def take(
        self, messages: Sequence[PubsubMessage]
    ) -> Sequence[Response | Awaitable[Response]]:
        desk, now = self._desk, self._desk.clock.now()
        numbered = [self._numbered(message) for message in messages]
        taken = await desk.commit(lambda: self._accepted(numbered, now))
        if any(one is not None and one.result is Result.OPENED for one in taken):
            desk.opened()
        return [self._said(one, message) for one, message in zip(taken, numbered, strict=True)]

    def _accepted(self, messages: Sequence[PubsubMessage], now: float) -> list[Taken | None]:
        """``None`` for what has to wait for one before it, or is to come again after it."""
        answers: list[Taken | None] = []
        stuck: set[str] = set()
        full: Taken | None = None
        ordered = self._subscription.ordered
        for message in messages:
            if full is not None:
                answers.append(full)
                continue
            if ordered and message.ordering_key in stuck:
                answers.append(None)
                continue
            taken = self._arrivals.accept(self._subscription, message, now)
            answers.append(taken)
            if taken.result is Result.FULL:
                full = taken
            elif taken.result is Result.BROKEN and message.ordering_key:
                stuck.add(message.ordering_key)
        return answers

    def _said(self, taken: Taken | None, message: PubsubMessage) -> Response | Awaitable[Response]:
        if taken is None:
            return Response.REFUSE
        match taken.result:
            case Result.FULL:
                return Response.LATER
            case Result.FILTERED:
                return Response.ACKNOWLEDGE
            case Result.BROKEN | Result.PAUSED:
                if taken.result is Result.BROKEN:
                    log.warning(
                        "Subscription %s cannot pass on message %s: %s",
                        self._subscription.name, message.message_id, taken.reason,
                    )  # fmt: skip
                return Response.REFUSE
        delivery = taken.delivery
        if delivery is None or self._subscription.ack is AckPolicy.DURABLE:
            return Response.ACKNOWLEDGE
        return self._ended(delivery, message)

    async def _ended(self, delivery: Delivery, message: PubsubMessage) -> Response:
        """Once the target has accepted it; what it has not comes again by Pub/Sub, or goes to the
        dead-letter topic."""
        while True:
            try:
                end = await self._settlements.settled(delivery.uid, WAIT_SECONDS)
            except NotFound:
                return Response.REFUSE
            if end is not None:
                break
        if end.state in (DeliveryState.DELIVERED, DeliveryState.CANCELLED):
            return Response.ACKNOWLEDGE
        most, number = self._subscription.retry.max_delivery_attempts, self._number(end, message)
        if most is None or number < most or not self._subscription.dead_letter_topic:
            return Response.REFUSE
        return await self._buried(replace(end, attempts=number))

    async def _buried(self, letter: Delivery) -> Response:
        desk = self._desk
        try:
            copy = dead_letter(letter, self._subscription, uid=desk.ids.uid(), now=desk.clock.now())
        except InvalidEvent as error:
            log.error("Delivery %s cannot be a dead letter: %s", letter.uid, error.message)
            return Response.REFUSE
        await desk.commit(lambda: desk.deliveries.open(copy))
        desk.opened()
        return Response.ACKNOWLEDGE

    def _number(self, delivery: Delivery, message: PubsubMessage) -> int:
        """Of the attempt: as Pub/Sub counts, and no less than was tried here."""
        first = message_key(self._subscription, message)
        tried = delivery.key.removeprefix(first).removeprefix("/")
        return max(message.delivery_attempt or 1, int(tried or 0) + 1)

    def _numbered(self, message: PubsubMessage) -> PubsubMessage:
        """The emulator counts attempts for subscriptions that production counts none for."""
        number = (message.delivery_attempt or 1) if self._subscription.counts_attempts else None
        if number == message.delivery_attempt:
            return message
        return replace(message, delivery_attempt=number)


# ---------------------------------------------------------------- event triggers


def triggers_to_pull(store: EventTriggerStore, events: Events, desk: Counter) -> Sequence[Consumer]:
    """Of all whose events come by a subscription of Pub/Sub. Raises StoreFault."""
    return [TriggerConsumer(one, events, desk) for one in store.listing(None) if carried(one)]


class TriggerConsumer:
    def __init__(self, trigger: EventTrigger, events: Events, desk: Counter) -> None:
        self._trigger = trigger
        self._events = events
        self._desk = desk

    @property
    def key(self) -> str:
        """Not the whole trigger: what it does with an event is looked up for each."""
        transport = self._trigger.transport
        return f"{self._trigger.uid}/{transport.topic}/{transport.subscription}"

    @property
    def source(self) -> PubsubSource:
        transport, retry = self._trigger.transport, self._trigger.retry
        return PubsubSource(
            subscription=transport.subscription,
            topic=transport.topic,
            ack_deadline=ACK_SECONDS,
            min_backoff=retry.min_backoff,
            max_backoff=retry.max_backoff,
        )

    async def take(
        self, messages: Sequence[PubsubMessage]
    ) -> Sequence[Response | Awaitable[Response]]:
        desk, trigger, now = self._desk, self._trigger, self._desk.clock.now()
        events = [event for message in messages if (event := self._event(message)) is not None]
        if events:
            try:
                published = await desk.commit(
                    lambda: self._events.publish(
                        events, scope=trigger.scope, now=now, only=trigger.uid, bounded=True
                    )
                )
            except BacklogFull:
                return [Response.LATER] * len(messages)
            if published.opened:
                desk.opened()
        return [Response.ACKNOWLEDGE] * len(messages)

    def _event(self, message: PubsubMessage) -> CloudEvent | None:
        """``None`` for what is no event, which would be none the next time either."""
        try:
            return carried_event(self._trigger, message)
        except InvalidEvent as error:
            log.warning(
                "Trigger %s drops message %s of its topic: %s",
                self._trigger.name, message.message_id, error.message,
            )  # fmt: skip
            return None
