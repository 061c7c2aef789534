"""``POST /push/SUBSCRIPTION`` and ``POST /push/PROJECT/REGION/SUBSCRIPTION``: push requests of
Pub/Sub as production and the emulator send them.

204 is an acknowledgement: the message is durable, or the filter does not want it, or (for ``ack:
finished``) the target has accepted it. Everything else is none, and Pub/Sub sends the message
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobrunner.calls import Answer, Call, Method, Raw, Role
from jobrunner.core.records import Scope
from jobrunner.errors import NotFound, StoreFault
from jobrunner.ports import Clock, Commit, Ids, Joined
from triggers.api.push.proving import Prover
from triggers.api.push.refusals import refusal
from triggers.core.envelopes import MESSAGE_ID, Envelope, decode_unwrapped, decode_wrapped
from triggers.core.records import Delivery
from triggers.core.states import DeliveryState
from triggers.core.subscriptions import (
    AckPolicy,
    Intake,
    Subscription,
    SubscriptionState,
    Wrapping,
)
from triggers.errors import InvalidEvent
from triggers.service.arrivals import Arrival, Arrivals, Result, Taken
from triggers.service.crashpoints import crash_point
from triggers.service.settling import Settlements

PATH = "/push/{subscription}"
FULL_PATH = "/push/{project}/{region}/{subscription}"
LARGEST = 16 * 1024 * 1024
"""Bytes of a request: a message of 10 MB in base64, its attributes and the envelope."""
MARGIN = 0.5
"""Seconds before its deadline that a sender is answered."""
LONGEST_WAIT = 110.0
"""Seconds: the server breaks calls off soon after."""
ACKNOWLEDGED = Answer(status=204)

log = logging.getLogger("jobrunner.subscriptions")


@dataclass(frozen=True, slots=True)
class Intakes:
    """What the ingress works with. ``look`` tells the dispatcher that there is something new."""

    arrivals: Arrivals
    settlements: Settlements
    prover: Prover
    commit: Commit
    clock: Clock
    ids: Ids
    look: Callable[[], None]


def push_methods(intakes: Intakes) -> Sequence[Method]:
    ingress = _Ingress(intakes)
    return [
        Method(
            f"jobrunner.subscriptions.push{name}", "POST", path, ingress.take, Role.INVOKER,
            raw=True, open=True, most_body=LARGEST, summary="Takes a push request of Pub/Sub",
        )
        for name, path in (("", PATH), (".full", FULL_PATH))
    ]  # fmt: skip


class _Ingress:
    def __init__(self, intakes: Intakes) -> None:
        self._in = intakes

    async def take(self, call: Call) -> Answer:
        try:
            return await self._taken(call)
        except StoreFault as error:
            log.warning("A push could not be stored: %s", error)
            return refusal(503, "the message cannot be stored now", ("Retry-After", "1"))

    async def _taken(self, call: Call) -> Answer:
        subscription = self._addressed(call)
        refused = await self._in.prover.refused(subscription, call)
        if refused is not None:
            return refused
        if subscription.intake is not Intake.PUSH:
            raise NotFound(f"Subscription '{subscription.name}' takes no pushes: it pulls.")
        if subscription.state is SubscriptionState.PAUSED:
            return _paused(subscription)
        try:
            envelope = self._read(subscription, call.raw or Raw())
        except InvalidEvent as error:
            return refusal(error.status, error.message)
        now = self._in.clock.now()
        # Told beforehand, the dispatcher claims it in the very commit that opens it.
        self._in.look()
        arrival = (subscription, envelope.message, now)
        taken = await self._in.commit(Joined(self._accept, arrival))
        crash_point("message-kept")
        match taken.result:
            case Result.FILTERED:
                return ACKNOWLEDGED
            case Result.FULL:
                return refusal(429, f"{taken.reason}; try again", ("Retry-After", "1"))
            case Result.PAUSED:
                return _paused(subscription)
            case Result.BROKEN:
                return refusal(400, f"no delivery can be made of the message: {taken.reason}")
        if subscription.ack is AckPolicy.DURABLE:
            return ACKNOWLEDGED
        return await self._finished(subscription, taken)

    def _accept(self, arrivals: Sequence[Arrival]) -> Sequence[Taken]:
        taken = self._in.arrivals.accept_all(arrivals)
        for _ in arrivals:
            crash_point("message-in-turn")
        return taken

    def _addressed(self, call: Call) -> Subscription:
        name = call.params["subscription"]
        project, region = call.params.get("project"), call.params.get("region")
        scope = Scope(project, region) if project and region else None
        return self._in.arrivals.addressed(name, scope)

    def _read(self, subscription: Subscription, raw: Raw) -> Envelope:
        if subscription.accepts is Wrapping.WRAPPED:
            return decode_wrapped(raw.body)
        headers = [(_text(name), _text(value)) for name, value in raw.headers]
        uid, now = self._in.ids.uid(), self._in.clock.now()
        envelope = decode_unwrapped(headers, raw.body, message_id=uid, now=now)
        if envelope.invented and subscription.accepts is Wrapping.UNWRAPPED_METADATA:
            raise InvalidEvent("it is missing; the sender must write metadata", field=MESSAGE_ID)
        return envelope

    async def _finished(self, subscription: Subscription, taken: Taken) -> Answer:
        assert taken.delivery is not None
        within = min(subscription.ack_deadline, LONGEST_WAIT) - MARGIN
        settled: Delivery | None = taken.delivery
        if taken.delivery.settled_at is None:
            settled = await self._in.settlements.settled(taken.delivery.uid, within)
        if settled is None:
            return refusal(504, f"the target has not accepted it within {within:g} s")
        if settled.state in (DeliveryState.DELIVERED, DeliveryState.CANCELLED):
            return ACKNOWLEDGED
        return refusal(502, f"the target has not accepted it: {settled.reason}")


def _paused(subscription: Subscription) -> Answer:
    text = f"subscription '{subscription.name}' is paused; try again later"
    return refusal(503, text, ("Retry-After", "10"))


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
