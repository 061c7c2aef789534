"""Use cases of event triggers. Every method that writes is called inside a transaction
(:class:`jobrunner.ports.Commit`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jobrunner.core.records import Scope
from jobrunner.errors import NotFound
from jobrunner.ports import Clock, Ids, Page
from jobrunner.service import Service
from triggers.core.event_plans import TriggerVerdict, verdict_on
from triggers.core.event_triggers import (
    EventTrigger,
    JobDestination,
    ServiceDestination,
    TriggerCondition,
)
from triggers.core.event_validation import check_event_trigger, is_url
from triggers.core.events import CloudEvent
from triggers.core.records import Unreadable
from triggers.core.transports import transport_of
from triggers.errors import DamagedRow, changed_meanwhile
from triggers.event_ports import EventTriggerStore, ServiceBook
from triggers.service.unknown import no_such

Change = Callable[[EventTrigger], EventTrigger]

DESTINATION = "destination"
"""The condition that says that what is to be called is not there."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Would an event have been delivered, and why. ``reasons`` are all sentences, ``refusals``
    those that said no."""

    matches: bool
    reasons: tuple[str, ...]
    refusals: tuple[str, ...]
    captures: dict[str, str]


class EventTriggers:
    """Conditions that follow from how things stand (a service without an address, a job that is not
    there) are found when a trigger is read; others are kept with it."""

    def __init__(
        self,
        store: EventTriggerStore,
        services: ServiceBook,
        jobs: Service,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._services = services
        self._jobs = jobs
        self._clock = clock
        self._ids = ids

    def create(self, wanted: EventTrigger) -> EventTrigger:
        """``wanted`` as it is to be, but for uid and instants. Raises InvalidSpec,
        AlreadyExists."""
        trigger = self.planned(wanted)
        self._store.create(trigger)
        return self._seen(trigger)

    def planned(self, wanted: EventTrigger) -> EventTrigger:
        """As :meth:`create` would store it; nothing is written. Raises InvalidSpec."""
        now = self._clock.now()
        trigger = _named(
            replace(wanted, uid=self._ids.uid(), created_at=now, updated_at=now, resource_version=1)
        )
        check_event_trigger(trigger)
        return trigger

    def get(self, scope: Scope, name: str) -> EventTrigger:
        """Raises NotFound."""
        return self._seen(self._find(scope, name))

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[EventTrigger]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        return [self._seen(one) for one in self._store.listing(project, region, page=page)]

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[EventTrigger | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        found = self._store.survey(project, region, page=page)
        return [one if isinstance(one, Unreadable) else self._seen(one) for one in found]

    def update(
        self, scope: Scope, name: str, change: Change, *, version: int | None = None
    ) -> EventTrigger:
        """``change`` makes the new one from what is there; name, uid and creation stay. With a
        ``version`` only if it still has that one. Raises NotFound, Conflict, InvalidSpec."""
        old = self._find(scope, name)
        if version is not None and version != old.resource_version:
            raise changed_meanwhile("Event trigger", name)
        trigger = replace(
            change(old),
            uid=old.uid,
            project=old.project,
            region=old.region,
            name=old.name,
            created_at=old.created_at,
            updated_at=self._clock.now(),
            resource_version=old.resource_version + 1,
        )
        trigger = _named(replace(trigger, conditions=_kept(trigger.conditions)))
        check_event_trigger(trigger)
        self._store.put(trigger, version=old.resource_version)
        return self._seen(trigger)

    def delete(self, scope: Scope, name: str, *, version: int | None = None) -> EventTrigger:
        """Its deliveries stay and go on. Raises NotFound, Conflict."""
        try:
            trigger = self._find(scope, name)
        except DamagedRow as damaged:
            trigger = EventTrigger(damaged.uid, *scope, name, (), ServiceDestination(""))
        else:
            if version is not None and version != trigger.resource_version:
                raise changed_meanwhile("Event trigger", name)
        self._store.delete(trigger.uid)
        return trigger

    def test(
        self, scope: Scope, name: str, event: CloudEvent, *, origin: Scope, channel: str = ""
    ) -> Rehearsal:
        """Would ``event`` match, had it come to the project of ``origin`` by the channel of that
        full name; nothing happens. Raises NotFound."""
        trigger = self._find(scope, name)
        return rehearsed(verdict_on(trigger, event, channel), origin)

    # ------------------------------------------------------------ parts

    def _find(self, scope: Scope, name: str) -> EventTrigger:
        found = self._store.find(scope, name)
        if found is None:
            known = self._store.listing(*scope, page=Page(1000))
            raise no_such("event trigger", scope, name, known)
        return found

    def _seen(self, trigger: EventTrigger) -> EventTrigger:
        found = self._condition(trigger)
        kept = _kept(trigger.conditions)
        return replace(trigger, conditions=kept if found is None else (*kept, found))

    def _condition(self, trigger: EventTrigger) -> TriggerCondition | None:
        match trigger.destination:
            case ServiceDestination(service, _, region) if not is_url(service):
                scope = Scope(trigger.project, region or trigger.region)
                if self._services.find(scope, service) is None:
                    hint = f"set it with: jobrunner services set {service} URL"
                    problem = f"The service '{service}' has no URL in {scope.region}; {hint}"
                    return TriggerCondition(DESTINATION, "NOT_FOUND", problem)
            case JobDestination(job, project, region):
                scope = Scope(project or trigger.project, region or trigger.region)
                try:
                    self._jobs.jobs.get(scope, job)
                except NotFound:
                    problem = f"There is no job '{job}' in {scope.region} of {scope.project}"
                    return TriggerCondition(DESTINATION, "NOT_FOUND", problem)
        return None


def rehearsed(verdict: TriggerVerdict, origin: Scope) -> Rehearsal:
    reasons, refusals = verdict.reasons, verdict.refusals
    if verdict.trigger.project != origin.project:
        problem = (
            f"the event belongs to project {origin.project}, the trigger to"
            f" {verdict.trigger.project}"
        )
        reasons, refusals = (*reasons, problem), (*refusals, problem)
    return Rehearsal(not refusals, reasons, refusals, verdict.captures)


def _named(trigger: EventTrigger) -> EventTrigger:
    """Who names a topic gets a subscription of his own to it."""
    if not trigger.transport.topic or trigger.transport.subscription:
        return trigger
    return replace(trigger, transport=transport_of(trigger, trigger.uid))


def _kept(conditions: tuple[TriggerCondition, ...]) -> tuple[TriggerCondition, ...]:
    return tuple(one for one in conditions if one.name != DESTINATION)
