"""Event triggers in YAML, for ``jobrunner apply``: a document is the whole trigger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobrunner.cli.base import State
from jobrunner.core.records import Scope
from triggers.api.events.trigger_reading import NEW, settings_of
from triggers.api.events.writing import settings_document
from triggers.cli.desk import desk_of
from triggers.cli.event_triggers import ROOM, settings, warn
from triggers.cli.rooms_apply import Wish, fulfil, read_document
from triggers.core.event_triggers import EventTrigger
from triggers.core.event_validation import check_event_trigger
from triggers.service.channel_names import channel_name


@dataclass(frozen=True, slots=True)
class Plan:
    where: str
    name: str
    trigger: EventTrigger


def plan(where: str, content: dict[str, Any]) -> Plan:
    """Raises InvalidSpec."""
    name, fields = read_document(content, settings_of)
    trigger = replace(NEW, name=name, **fields)
    # The place of a channel that goes by its id is known when it is written.
    channel = trigger.channel
    if channel and "/" not in channel:
        channel = channel_name(Scope("p", "l"), channel)
    check_event_trigger(replace(trigger, channel=channel))
    return Plan(where, name, trigger)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    with desk_of(state) as desk:
        for one in plans:
            channel = channel_name(state.scope(), one.trigger.channel)
            spec = settings_document(replace(one.trigger, channel=channel))
            wish = Wish(one.where, one.name, spec, {})
            written = fulfil(ROOM, state, desk, wish, settings, dry_run=dry_run)
            if written is not None:
                warn(written, desk.served)
