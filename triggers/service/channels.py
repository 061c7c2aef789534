"""Use cases of channels. Every method that writes is called inside a transaction
(:class:`jobrunner.ports.Commit`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from jobrunner.core.records import Scope
from jobrunner.ports import Clock, Ids, Page
from triggers.core.event_triggers import Channel
from triggers.core.event_validation import check_channel
from triggers.core.records import Unreadable
from triggers.core.transports import channel_topic
from triggers.event_ports import ChannelStore
from triggers.service.unknown import no_such

Change = Callable[[Channel], Channel]


class Channels:
    def __init__(self, store: ChannelStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    def create(self, wanted: Channel) -> Channel:
        """``wanted`` as it is to be, but for uid, topic and instants. Raises InvalidSpec,
        AlreadyExists."""
        now, uid = self._clock.now(), self._ids.uid()
        channel = replace(
            wanted,
            uid=uid,
            pubsub_topic=channel_topic(wanted.scope, wanted.name, uid),
            created_at=now,
            updated_at=now,
            resource_version=1,
        )
        check_channel(channel)
        self._store.create(channel)
        return channel

    def get(self, scope: Scope, name: str) -> Channel:
        """Raises NotFound."""
        found = self._store.find(scope, name)
        if found is None:
            known = self._store.listing(*scope, page=Page(1000))
            raise no_such("channel", scope, name, known)
        return found

    def find(self, full_name: str) -> Channel | None:
        """By ``projects/P/locations/R/channels/NAME``."""
        parts = full_name.split("/")
        if len(parts) != 6:
            return None
        return self._store.find(Scope(parts[1], parts[3]), parts[5])

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Channel]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        return self._store.listing(project, region, page=page)

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Channel | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        return self._store.survey(project, region, page=page)

    def update(self, scope: Scope, name: str, change: Change) -> Channel:
        """``change`` makes the new one from what is there; name, uid, topic and creation stay.
        Raises NotFound, Conflict, InvalidSpec."""
        old = self.get(scope, name)
        channel = replace(
            change(old),
            uid=old.uid,
            project=old.project,
            region=old.region,
            name=old.name,
            pubsub_topic=old.pubsub_topic,
            created_at=old.created_at,
            updated_at=self._clock.now(),
            resource_version=old.resource_version + 1,
        )
        check_channel(channel)
        self._store.put(channel, version=old.resource_version)
        return channel

    def delete(self, scope: Scope, name: str) -> Channel:
        """Its triggers stay, and get nothing any more. Raises NotFound."""
        channel = self.get(scope, name)
        self._store.delete(channel.uid)
        return channel
