"""Methods of ``projects.locations.triggers``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Document
from jobrunner.core.params import flag, invalid
from jobrunner.core.records import Scope
from jobrunner.errors import Conflict, NotFound
from jobrunner.ports import Page
from triggers.api.eventarc.frame import Done, Frame, check_order, new_id
from triggers.api.eventarc.names import check_name
from triggers.api.eventarc.trigger_reading import new_trigger, patched
from triggers.api.eventarc.trigger_writing import public, trigger_document
from triggers.core.event_triggers import EventTrigger, ServiceDestination
from triggers.core.records import Unreadable
from triggers.core.transports import transport_of
from triggers.service.channels import Channels
from triggers.service.event_triggers import EventTriggers
from triggers.service.transports import Transports

_FILTER = re.compile(r"\s*destination\s*[:=]\s*\"?([A-Za-z_]+)\"?\s*")
_KINDS = {"cloudrun": "cloudRun", "httpendpoint": "httpEndpoint"}
_ELSEWHERE = frozenset({"gke", "workflow", "cloudfunction"})


class TriggerMethods:
    def __init__(
        self, frame: Frame, triggers: EventTriggers, channels: Channels, transports: Transports
    ) -> None:
        self._frame = frame
        self._triggers = triggers
        self._channels = channels
        self._transports = transports

    async def get(self, call: Call) -> Answer:
        scope = self._frame.scope(call)
        return Answer(self._shown(self._triggers.get(scope, call.params["trigger"])))

    async def list(self, call: Call) -> Answer:
        """The filter is applied to the page, which may be short for it."""
        check_order(call, "name", "trigger_id")
        text = call.params.get("filter", "")
        wanted = _wanted(text)

        def listing(
            project: str, region: str | None, page: Page
        ) -> Sequence[EventTrigger | Unreadable]:
            return self._triggers.survey(project, region, page=page)

        def shown(trigger: EventTrigger) -> Document | None:
            document = self._shown(trigger)
            kinds = document.get("destination")
            there = wanted is None or (isinstance(kinds, dict) and wanted in kinds)
            return document if there else None

        def place(trigger: EventTrigger) -> str:
            return f"{trigger.project}/{trigger.region}/{trigger.name}"

        return self._frame.page(call, "triggers", listing, place, shown, text)

    async def create(self, call: Call) -> Answer:
        scope, id = self._frame.scope(call), new_id(call, "triggerId")
        wanted = self._wanted(scope, id, call.body)
        made: list[EventTrigger] = []

        def work() -> Done:
            made[:] = [self._triggers.create(wanted)]
            return self._done(made[0])

        answer = await self._frame.operation(call, scope, "create", work)
        return await self._settled(call, scope, answer, made)

    async def patch(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["trigger"]
        mask = call.params.get("updateMask", "")
        check_name(_named(call.body), scope, "triggers", name, self._frame.places.project)
        etag = call.body.get("etag") if isinstance(call.body, dict) else None
        made: list[EventTrigger] = []

        def change(old: EventTrigger) -> EventTrigger:
            check_etag(old, etag)
            return patched(old, call.body, mask)

        def work() -> Done:
            made.clear()
            try:
                return self._done(self._triggers.update(scope, name, change))
            except NotFound:
                if not flag(call.params, "allowMissing"):
                    raise
            made[:] = [self._triggers.create(self._wanted(scope, name, call.body))]
            return self._done(made[0])

        answer = await self._frame.operation(call, scope, "update", work)
        return await self._settled(call, scope, answer, made)

    async def delete(self, call: Call) -> Answer:
        """With ``allowMissing`` it is well if there is none."""
        scope, name = self._frame.scope(call), call.params["trigger"]
        etag = call.params.get("etag")
        gone: list[EventTrigger] = []

        def work() -> Done:
            gone.clear()
            try:
                found = self._triggers.get(scope, name)
            except NotFound:
                if not flag(call.params, "allowMissing"):
                    raise
                nobody = EventTrigger("", *scope, name, (), ServiceDestination(""))
                return Done("Trigger", "", nobody.full_name, {"name": nobody.full_name})
            check_etag(found, etag)
            gone[:] = [self._triggers.delete(scope, name)]
            return self._done(found)

        answer = await self._frame.operation(call, scope, "delete", work)
        if gone and not flag(call.params, "validateOnly"):
            await self._transports.remove(gone[0])
        return answer

    # ------------------------------------------------------------ parts

    def _wanted(self, scope: Scope, id: str, body: object) -> EventTrigger:
        check_name(_named(body), scope, "triggers", id, self._frame.places.project)
        trigger = new_trigger(EventTrigger("", *scope, id, (), ServiceDestination("")), body)
        topic = ""
        if trigger.channel:
            channel = self._channels.find(trigger.channel)
            if channel is None:
                raise NotFound(f"There is no channel '{trigger.channel}'.")
            topic = channel.pubsub_topic
        transport = transport_of(trigger, self._frame.parts.ids.uid(), topic)
        return replace(trigger, transport=transport)

    async def _settled(
        self, call: Call, scope: Scope, answer: Answer, made: Sequence[EventTrigger]
    ) -> Answer:
        """Pub/Sub is asked when the trigger is durable. What it does not do now is done later, and
        said."""
        if not made or flag(call.params, "validateOnly"):
            return answer
        before = self._transports.conditions(made[0])
        await self._transports.settle(made[0])
        if self._transports.conditions(made[0]) == before:
            return answer
        return await self._frame.amended(scope, answer, public(self._shown(made[0])))

    def _shown(self, trigger: EventTrigger) -> Document:
        return trigger_document(trigger, self._transports.conditions(trigger))

    def _done(self, trigger: EventTrigger) -> Done:
        return Done("Trigger", trigger.uid, trigger.full_name, public(self._shown(trigger)))


def check_etag(trigger: EventTrigger, seen: object) -> None:
    """An empty one means whatever is there. Raises Conflict."""
    if seen and seen != trigger.etag:
        raise Conflict(
            f"Trigger '{trigger.name}' was changed by somebody else: the etag {str(seen)[:63]} is"
            f" not the current one, {trigger.etag}.",
            hint="Look at it as it is now, then try again.",
        )


def _named(body: object) -> object:
    return body.get("name") if isinstance(body, dict) else None


def _wanted(text: str) -> str | None:
    """The kind of destination that a filter lets through; ``None`` for all, empty for none."""
    if not text.strip():
        return None
    match = _FILTER.fullmatch(text)
    kind = match[1].replace("_", "").lower() if match else ""
    if kind in _ELSEWHERE:
        return ""
    if kind not in _KINDS:
        form = "allowed: destination:KIND, as destination:cloud_run"
        raise invalid("filter", f"'{text[:60]}' is not a filter; {form}")
    return _KINDS[kind]
