"""All methods of this room that are our own API, from the parts of a server or of a desk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobrunner.calls import Method
from jobrunner.core.records import Scope
from jobrunner.ports import Clock, Commit, Ids
from jobrunner.service import Service
from jobrunner.service.places import Places
from triggers.api.events.events import event_methods
from triggers.api.events.services import service_methods
from triggers.api.events.triggers import event_trigger_methods
from triggers.api.own import Where
from triggers.event_ports import ChannelStore, EventLog, EventTriggerStore, ServiceBook
from triggers.service.channel_names import ChannelNames
from triggers.service.event_triggers import EventTriggers
from triggers.service.events import Events
from triggers.service.services import Services
from triggers.service.transports import Transports


def own_methods(
    *,
    triggers: EventTriggerStore,
    channels: ChannelStore,
    book: ServiceBook,
    events: Events,
    kept: EventLog,
    transports: Transports,
    service: Service,
    commit: Commit,
    clock: Clock,
    ids: Ids,
    default: Scope,
    look: Callable[[], None],
) -> Sequence[Method]:
    """``look`` tells the dispatcher that there is something new."""
    where = Where(Places(service.store), default)
    names = ChannelNames(channels, triggers)
    use_cases = EventTriggers(triggers, book, service, clock, ids)
    return [
        *event_trigger_methods(use_cases, transports, kept, where, commit, ids),
        *event_methods(events, kept, names, where, commit, clock, look),
        *service_methods(Services(book, clock), where, commit, look),
    ]
