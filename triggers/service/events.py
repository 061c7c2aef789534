"""Events come in here, whatever brought them: each opens a delivery at every trigger that wants it.

::

    published = events.publish([event], scope=scope, now=now)      # inside a transaction
    dispatcher.look()                                              # after it

A trigger gets an event once, however often it comes: source and id make it one of a kind.

``bounded`` is for senders who can try again: where a trigger that wants one of the events has as
much waiting as it may, nothing is taken. What nobody would send again is taken in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jobrunner.core.records import Scope
from jobrunner.errors import BacklogFull, InvalidSpec
from jobrunner.ports import Ids
from triggers.core.event_plans import TriggerPlan, plan_event
from triggers.core.event_triggers import EventTrigger
from triggers.core.events import CloudEvent
from triggers.core.records import SourceKind
from triggers.event_ports import EventLog, EventTriggerStore, Led, Logged
from triggers.ports import DeliveryStore
from triggers.service.backlog import Backlogs

log = logging.getLogger("jobrunner.events")


@dataclass(frozen=True, slots=True)
class Published:
    """What :meth:`Events.publish` has done, one entry for each event and in their order."""

    entries: tuple[Logged, ...] = ()

    @property
    def opened(self) -> int:
        """Deliveries that were not there before."""
        return sum(1 for one in self.entries for led in one.led if led.delivery and not led.again)


def nowhere(scope: Scope, name: str) -> str | None:
    """A service is looked up when it is called, so that a URL that changes counts for what waits,
    too."""
    return None


class Events:
    """``with_modes`` puts the query behind URLs of services that they get in production.
    ``backlogs`` are shared by all who open deliveries of triggers in one runner."""

    def __init__(
        self,
        triggers: EventTriggerStore,
        deliveries: DeliveryStore,
        kept: EventLog,
        ids: Ids,
        backlogs: Backlogs,
        *,
        with_modes: bool = True,
    ) -> None:
        self._triggers = triggers
        self._deliveries = deliveries
        self._kept = kept
        self._ids = ids
        self._backlogs = backlogs
        self._with_modes = with_modes

    def awaited(self, event_type: str, channel: str = "") -> bool:
        """Whether any trigger might want events of this type. For sources that find out about much
        that nobody wants to know."""
        return bool(self._triggers.awaiting(event_type, channel))

    def awaited_since(self, event_type: str, channel: str = "") -> float | None:
        """When the oldest trigger was made that might want events of this type; ``None`` if none
        does."""
        found = [one.created_at for one in self._triggers.awaiting(event_type, channel)]
        return min(found, default=None)

    def publish(
        self,
        events: Iterable[CloudEvent],
        *,
        scope: Scope,
        channel: str = "",
        now: float,
        only: str = "",
        bounded: bool = False,
    ) -> Published:
        """Inside a transaction. Events belong to the project of ``scope``: triggers of other
        projects do not see them. ``channel`` is the full name of where they came in, empty for
        none. ``only`` is the uid of the one trigger that they came for, empty for all. Raises
        StoreFault; then nothing of it must be written. If ``bounded`` raises BacklogFull, and has
        written nothing; whoever comes while there is room is taken whole."""
        known: dict[str, Sequence[EventTrigger]] = {}
        planned: list[tuple[CloudEvent, list[TriggerPlan]]] = []
        for event in events:
            if event.type not in known:
                known[event.type] = [
                    trigger
                    for trigger in self._triggers.awaiting(event.type, channel)
                    if trigger.project == scope.project and only in ("", trigger.uid)
                ]
            plans = [
                plan
                for trigger in known[event.type]
                for plan in self._plans(trigger, event, channel, now)
            ]
            planned.append((event, plans))
        if bounded:
            self._check_room(planned)
        entries = []
        for event, plans in planned:
            led = tuple(self._opened(plan, event) for plan in plans)
            entries.append(Logged(now, scope, channel, event, led, len(event.data)))
        if entries:
            self._kept.append(entries)
        return Published(tuple(entries))

    def _plans(
        self, trigger: EventTrigger, event: CloudEvent, channel: str, now: float
    ) -> Sequence[TriggerPlan]:
        """One trigger that breaks a rule keeps the event from no other."""
        try:
            return plan_event(
                event,
                [trigger],
                now=now,
                new_uid=self._ids.uid,
                resolve=nowhere,
                channel=channel,
                with_modes=self._with_modes,
            )
        except InvalidSpec as error:
            return [TriggerPlan(trigger, None, error.message)]

    def _check_room(self, planned: Sequence[tuple[CloudEvent, Sequence[TriggerPlan]]]) -> None:
        waited_for = {
            plan.trigger.uid: plan.trigger
            for _, plans in planned
            for plan in plans
            if plan.delivery is not None
        }
        for uid, trigger in waited_for.items():
            if self._backlogs.full(uid, trigger.backlog, self._unsettled(trigger)):
                raise BacklogFull(
                    f"Trigger '{trigger.name}' has {trigger.backlog} events waiting, which is the"
                    " bound; try again."
                )

    def _unsettled(self, trigger: EventTrigger) -> Callable[[int], int]:
        scope, source = trigger.scope, SourceKind.EVENT_TRIGGER
        return lambda most: self._deliveries.unsettled(scope, source, trigger.name, most)

    def _opened(self, plan: TriggerPlan, event: CloudEvent) -> Led:
        trigger = plan.trigger
        place = (trigger.project, trigger.region, trigger.name)
        problem = plan.problem
        if plan.delivery is not None:
            try:
                stored = self._deliveries.open(plan.delivery)
            except InvalidSpec as error:
                problem = error.message
            else:
                again = stored.uid != plan.delivery.uid
                if not again:
                    self._backlogs.added(trigger.uid)
                return Led(*place, delivery=stored.uid, again=again)
        log.warning(
            "Trigger %s cannot pass on the event %s of %s: %s",
            trigger.name, event.id, event.source, problem,
        )  # fmt: skip
        return Led(*place, problem=problem)
