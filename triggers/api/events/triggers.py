"""``/jobrunner/v1/event-triggers``: our own API of event triggers. Project and region come in the
query, or in the body of one that is to be made; the server's own where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.params import invalid
from jobrunner.core.records import Scope
from jobrunner.ports import Commit, Ids
from triggers.api.events.events import event_of
from triggers.api.events.trigger_reading import NEW, OUTPUT, Settings, settings_of
from triggers.api.events.writing import rehearsal_document, trigger_document
from triggers.api.own import (
    PAGE,
    Document,
    Maker,
    Where,
    body_of,
    identity,
    page,
    read_settings,
    version_of,
)
from triggers.core.event_triggers import EventTrigger
from triggers.core.google_events import MESSAGE_PUBLISHED
from triggers.core.transports import transport_of
from triggers.event_ports import EventLog
from triggers.service.channel_names import channel_name
from triggers.service.event_triggers import EventTriggers
from triggers.service.transports import Transports

PATH = "/jobrunner/v1/event-triggers"
ONE = f"{PATH}/{{trigger}}"


def event_trigger_methods(
    triggers: EventTriggers,
    transports: Transports,
    kept: EventLog,
    where: Where,
    commit: Commit,
    ids: Ids,
) -> Sequence[Method]:
    table = _Table(triggers, transports, kept, where, commit, ids)
    method = Maker("eventTriggers")

    return [
        method("list", "GET", PATH, table.list, Role.VIEWER, "Lists triggers by name", PAGE),
        method("create", "POST", PATH, table.create, Role.ADMIN, "Makes a trigger"),
        method("get", "GET", ONE, table.get, Role.VIEWER, "Shows a trigger"),
        method("replace", "PUT", ONE, table.replace, Role.ADMIN, "Makes a trigger what it says"),
        method("delete", "DELETE", ONE, table.delete, Role.ADMIN, "Removes a trigger"),
        method("test", "POST", f"{ONE}:test", table.test, Role.VIEWER, "Would an event match"),
    ]


class _Table:
    def __init__(
        self,
        triggers: EventTriggers,
        transports: Transports,
        kept: EventLog,
        where: Where,
        commit: Commit,
        ids: Ids,
    ) -> None:
        self._triggers = triggers
        self._transports = transports
        self._ids = ids
        self._kept = kept
        self._where = where
        self._commit = commit

    async def list(self, call: Call) -> Answer:
        scope = self._where.scope(call.params)

        return Answer(page(call, "triggers", scope, self._triggers.survey, self._document))

    async def get(self, call: Call) -> Answer:
        return Answer(self._document(self._triggers.get(*self._named(call))))

    async def create(self, call: Call) -> Answer:
        body = body_of(call)
        scope = self._where.of_body(call, body)
        wanted = replace(NEW, **identity(scope, body), **_settings(body, scope))
        wanted = _carried(wanted, self._ids.uid())
        return await self._written(lambda: self._triggers.create(wanted))

    async def replace(self, call: Call) -> Answer:
        """With a ``resourceVersion`` only if nobody has changed it since."""
        body = body_of(call)
        scope, name = self._named(call)
        settings, version = _settings(body, scope), version_of(body)
        seed = self._ids.uid()

        def change(old: EventTrigger) -> EventTrigger:
            return _carried(_changed(old, settings), seed)

        return await self._written(
            lambda: self._triggers.update(scope, name, change, version=version)
        )

    async def delete(self, call: Call) -> Answer:
        scope, name = self._named(call)
        gone = await self._commit(lambda: self._triggers.delete(scope, name))
        await self._transports.remove(gone)
        return Answer({})

    async def test(self, call: Call) -> Answer:
        """Of an ``event``, or of one in the log by its ``position``; ``channel`` says how it came,
        or would come. Nothing is delivered."""
        body = body_of(call)
        scope, name = self._named(call)
        position = body.get("position")
        if position is not None:
            if not isinstance(position, int) or isinstance(position, bool):
                raise invalid("position", "it is not a whole number")
            entry = self._kept.get(position)
            found = self._triggers.test(
                scope, name, entry.event, origin=entry.scope, channel=entry.channel
            )
        else:
            channel = body.get("channel") or ""
            if not isinstance(channel, str):
                raise invalid("channel", "it is not text")
            found = self._triggers.test(
                scope, name, event_of(body.get("event"), "event"), origin=scope,
                channel=channel_name(scope, channel),
            )  # fmt: skip
        return Answer(rehearsal_document(found))

    async def _written(self, work: Callable[[], EventTrigger]) -> Answer:
        """Pub/Sub is asked when the trigger is durable: what it does not do now is done later."""
        written = await self._commit(work)
        await self._transports.settle(written)
        return Answer(self._document(written))

    def _document(self, trigger: EventTrigger) -> Document:
        more = self._transports.conditions(trigger)
        return trigger_document(replace(trigger, conditions=(*trigger.conditions, *more)))

    def _named(self, call: Call) -> tuple[Scope, str]:
        return self._where.scope(call.params), call.params["trigger"]


def _changed(old: EventTrigger, settings: Settings) -> EventTrigger:
    """What was made in Pub/Sub for a trigger stays as long as its topic does."""
    new = replace(old, **settings)
    if new.transport.topic == (old.transport.topic if old.transport.own_topic else ""):
        return replace(new, transport=old.transport)
    return new


def _carried(trigger: EventTrigger, seed: str) -> EventTrigger:
    """With names for what carries its events, if they are messages of a topic; other events come by
    themselves."""
    if trigger.event_type != MESSAGE_PUBLISHED or trigger.channel:
        return trigger
    return replace(trigger, transport=transport_of(trigger, seed))


def _settings(body: Document, scope: Scope) -> Settings:
    settings = read_settings(body, OUTPUT, settings_of)
    return {**settings, "channel": channel_name(scope, settings["channel"])}
