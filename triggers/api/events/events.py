"""``/jobrunner/v1/events``: what came in of late, and events from whoever uses our own API."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.params import invalid, page_size, whole
from jobrunner.ports import Clock, Commit
from triggers.api.events.ingress import refusal
from triggers.api.events.writing import logged_document
from triggers.api.own import PLACE, Where, body_of
from triggers.core.cloudevents.decode import MAX_EVENTS, decode_structured
from triggers.core.events import CloudEvent
from triggers.errors import InvalidEvent
from triggers.event_ports import EventLog
from triggers.service.channel_names import ChannelNames
from triggers.service.events import Events

PATH = "/jobrunner/v1/events"
ONE = f"{PATH}/{{position}}"
LARGEST = 2**63 - 1


def event_methods(
    events: Events,
    kept: EventLog,
    channels: ChannelNames,
    where: Where,
    commit: Commit,
    clock: Clock,
    look: Callable[[], None],
) -> Sequence[Method]:
    """``look`` tells the dispatcher that there is something new."""
    table = _Table(events, kept, channels, where, commit, clock, look)
    return [
        Method(
            "jobrunner.events.list", "GET", PATH, table.list, Role.VIEWER,
            query=(*PLACE, "after", "type", "pageSize"), summary="Lists events that came in",
        ),
        Method(
            "jobrunner.events.get", "GET", ONE, table.get, Role.VIEWER,
            summary="Shows an event that came in",
        ),
        Method(
            "jobrunner.events.send", "POST", PATH, table.send, Role.INVOKER, changes=True,
            query=PLACE, summary="Takes CloudEvents as JSON",
        ),
    ]  # fmt: skip


class _Table:
    def __init__(
        self,
        events: Events,
        kept: EventLog,
        channels: ChannelNames,
        where: Where,
        commit: Commit,
        clock: Clock,
        look: Callable[[], None],
    ) -> None:
        self._events = events
        self._kept = kept
        self._channels = channels
        self._where = where
        self._commit = commit
        self._clock = clock
        self._look = look

    async def list(self, call: Call) -> Answer:
        """Oldest first; without ``after`` (a position) the last ones."""
        scope = self._where.scope(call.params)
        after = whole(call.params, "after", -1, most=LARGEST)
        found = self._kept.listing(
            scope.project,
            after=None if after < 0 else after,
            event_type=call.params.get("type") or None,
            limit=page_size(call.params),
        )
        return Answer({"events": [logged_document(one) for one in found]})

    async def get(self, call: Call) -> Answer:
        return Answer(logged_document(self._kept.get(whole(call.params, "position", 0))))

    async def send(self, call: Call) -> Answer:
        """``events``, each in the JSON format, and perhaps a ``channel``."""
        body = body_of(call)
        given = body.get("events")
        if not isinstance(given, list) or not 0 < len(given) <= MAX_EVENTS:
            raise invalid("events", f"allowed: a list of 1 to {MAX_EVENTS} events")
        channel = body.get("channel") or ""
        if not isinstance(channel, str):
            raise invalid("channel", "it is not text")
        scope = self._where.of_body(call, body)
        try:
            found = [event_of(one, "events", at) for at, one in enumerate(given)]
        except InvalidEvent as error:
            if error.status == 400:
                raise
            return refusal(error)
        full = self._channels.addressed(scope, channel)
        now = self._clock.now()
        published = await self._commit(
            lambda: self._events.publish(found, scope=scope, channel=full, now=now, bounded=True)
        )
        if published.opened:
            self._look()
        return Answer({"events": [logged_document(one) for one in published.entries]})


def event_of(value: object, field: str, at: int | None = None) -> CloudEvent:
    """An event in the JSON format. Raises InvalidEvent."""
    if not isinstance(value, dict):
        raise InvalidEvent("it is not an object with the members of a CloudEvent", field=field)
    try:
        return decode_structured(json.dumps(value, ensure_ascii=False))
    except InvalidEvent as error:
        raise error if at is None else error.within(at) from None
