"""Topics and subscriptions of event triggers: made with the trigger, removed with it, and made
again where Pub/Sub has lost them.

What cannot be made now is no reason to refuse a trigger: a condition says it, and
:meth:`Transports.settle` is called again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from jobrunner.errors import JobrunnerError
from triggers.core.event_triggers import EventTrigger, TriggerCondition
from triggers.core.transports import carried
from triggers.event_ports import EventTriggerStore, PubsubAdmin, PubsubTrouble

TRANSPORT = "transport"
"""The condition that says that nothing carries events to a trigger."""
NOWHERE = (
    "Nothing was created in Pub/Sub, so no messages come by the transport: the server knows of no"
    " emulator; start it with PUBSUB_EMULATOR_HOST=HOST:PORT"
)
PAUSE_SECONDS = 5.0
"""Between two tries to make what is missing."""

log = logging.getLogger("jobrunner.events")


class Transports:
    """Without an ``admin`` there is no Pub/Sub that topics may be made in. ``looked`` waits until
    whoever consumes the subscriptions has seen which triggers there are: one that is still consumed
    would be made again."""

    def __init__(
        self,
        triggers: EventTriggerStore,
        admin: PubsubAdmin | None = None,
        looked: Callable[[], Awaitable[None]] | None = None,
        *,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._triggers = triggers
        self._admin = admin
        self._looked = looked
        self._pause = pause
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Looks after the transports of all triggers once, and then after those that are not
        there, until it is cancelled."""
        if self._admin is None:
            return
        known = False
        while True:
            try:
                there = self._triggers.listing(None) if self._troubles or not known else ()
            except JobrunnerError as error:
                log.warning("Transports wait: %s", error)
            else:
                for trigger in there:
                    if not known or trigger.uid in self._troubles:
                        await self.settle(trigger)
                known = True
            await asyncio.sleep(self._pause)

    async def settle(self, trigger: EventTrigger) -> bool:
        """Makes what is missing; says whether all is there. Does not raise for what Pub/Sub
        answers."""
        if self._admin is None or not carried(trigger):
            return False
        transport = trigger.transport
        try:
            await self._admin.make_topic(transport.topic)
            await self._admin.make_subscription(transport.subscription, transport.topic)
        except PubsubTrouble as error:
            if self._troubles.get(trigger.uid) != str(error):
                log.warning("The transport of trigger %s is not there: %s", trigger.name, error)
            self._troubles[trigger.uid] = str(error)
            return False
        self._troubles.pop(trigger.uid, None)
        return True

    async def remove(self, trigger: EventTrigger) -> None:
        """The subscription, and the topic unless somebody else made it. What Pub/Sub does not take
        goes to the log."""
        self._troubles.pop(trigger.uid, None)
        if self._admin is None or not carried(trigger):
            return
        transport = trigger.transport
        if self._looked is not None:
            await self._looked()
        try:
            await self._admin.drop_subscription(transport.subscription)
            if not transport.own_topic:
                await self._admin.drop_topic(transport.topic)
        except PubsubTrouble as error:
            log.warning("The transport of trigger %s stays in Pub/Sub: %s", trigger.name, error)

    def conditions(self, trigger: EventTrigger) -> tuple[TriggerCondition, ...]:
        """What keeps messages from coming; empty if nothing does."""
        if not carried(trigger):
            return ()
        if self._admin is None:
            return (TriggerCondition(TRANSPORT, "FAILED_PRECONDITION", NOWHERE),)
        trouble = self._troubles.get(trigger.uid)
        return (TriggerCondition(TRANSPORT, "UNAVAILABLE", trouble),) if trouble else ()
