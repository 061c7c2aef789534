"""Methods of ``projects.locations.channels``: where events of one's own making come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Document, Node, filled
from jobrunner.core.params import invalid
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.core.timestamps import format_time
from jobrunner.errors import InvalidSpec
from jobrunner.ports import Page
from triggers.api.eventarc.frame import Done, Frame, check_order, new_id
from triggers.api.eventarc.laying import laid
from triggers.api.eventarc.names import check_name
from triggers.core.cloudevents.publishing import decode_publish
from triggers.core.event_triggers import Channel
from triggers.core.records import Unreadable
from triggers.service.channels import Channels
from triggers.service.events import Events

OUTPUT = (
    "name", "uid", "createTime", "updateTime", "pubsubTopic", "state", "activationToken",
    "satisfiesPzs", "provider",
)  # fmt: skip
WRITABLE = ("cryptoKeyName", "labels")


class ChannelMethods:
    def __init__(self, frame: Frame, channels: Channels, events: Events) -> None:
        self._frame = frame
        self._channels = channels
        self._events = events

    async def get(self, call: Call) -> Answer:
        scope = self._frame.scope(call)
        return Answer(channel_document(self._channels.get(scope, call.params["channel"])))

    async def list(self, call: Call) -> Answer:
        check_order(call, "name", "channel_id")

        def listing(project: str, region: str | None, page: Page) -> Sequence[Channel | Unreadable]:
            return self._channels.survey(project, region, page=page)

        def place(channel: Channel) -> str:
            return f"{channel.project}/{channel.region}/{channel.name}"

        return self._frame.page(call, "channels", listing, place, channel_document)

    async def create(self, call: Call) -> Answer:
        scope, id = self._frame.scope(call), new_id(call, "channelId")
        self._check_name(call, scope, id)
        wanted = new_channel(Channel("", *scope, id), call.body)
        return await self._written(call, scope, "create", lambda: self._channels.create(wanted))

    async def patch(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["channel"]
        mask = call.params.get("updateMask", "")
        self._check_name(call, scope, name)

        def work() -> Channel:
            return self._channels.update(scope, name, lambda old: patched(old, call.body, mask))

        return await self._written(call, scope, "update", work)

    async def delete(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["channel"]
        return await self._written(
            call, scope, "delete", lambda: self._channels.delete(scope, name)
        )

    async def publish(self, call: Call) -> Answer:
        """All events of a request, or none."""
        scope, name = self._frame.scope(call), call.params["channel"]
        channel = self._channels.get(scope, name)
        found = decode_publish(call.body)
        now = self._frame.parts.clock.now()
        published = await self._frame.parts.commit(
            lambda: self._events.publish(
                found, scope=scope, channel=channel.full_name, now=now, bounded=True
            )
        )
        if published.opened:
            self._frame.changed()
        return Answer({})

    def _check_name(self, call: Call, scope: Scope, id: str) -> None:
        name = call.body.get("name") if isinstance(call.body, dict) else None
        check_name(name, scope, "channels", id, self._frame.places.project)

    async def _written(
        self, call: Call, scope: Scope, verb: str, work: Callable[[], Channel]
    ) -> Answer:
        def done() -> Done:
            channel = work()
            return Done("Channel", channel.uid, channel.full_name, channel_document(channel))

        return await self._frame.operation(call, scope, verb, done)


def channel_document(channel: Channel) -> Document:
    """What is empty is left out."""
    return filled(
        name=channel.full_name,
        uid=channel.uid,
        createTime=format_time(channel.created_at),
        updateTime=format_time(channel.updated_at),
        provider=channel.provider,
        pubsubTopic=channel.pubsub_topic,
        state=channel.state.value,
        activationToken=channel.activation_token,
        cryptoKeyName=channel.crypto_key,
        labels=channel.labels,
    )


def new_channel(base: Channel, body: object) -> Channel:
    """``base`` has project, region and name; everything else is read. Raises InvalidSpec."""
    problems = Problems()
    node = Node(body, "", problems)
    if not node.present:
        problems.add("channel", "it is missing; allowed: a channel")
    if node.text("provider"):
        allowed = "allowed: none, for events of your own"
        problems.add("provider", f"there are no partners that publish to this server; {allowed}")
    channel = replace(base, crypto_key=node.text("cryptoKeyName"), labels=node.text_map("labels"))
    node.skip(*OUTPUT)
    node.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return channel


def patched(old: Channel, body: object, mask: str) -> Channel:
    """``old`` with what ``mask`` names taken from ``body``. Raises InvalidSpec."""
    if not isinstance(body, dict):
        raise invalid("channel", "it is missing; allowed: a channel")
    before = filled(cryptoKeyName=old.crypto_key, labels=old.labels)
    return new_channel(old, laid(before, body, mask, WRITABLE, OUTPUT, "a channel", {}))
