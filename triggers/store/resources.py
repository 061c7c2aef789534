"""The stores of what people declare for events: each method is one transaction, or a part of one.

It is changed under the version that was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, NotFound
from jobrunner.lib.database import Session
from jobrunner.ports import Page
from triggers.core.event_triggers import Channel, EventTrigger, ServiceAddress
from triggers.core.subscriptions import Intake, Subscription
from triggers.errors import changed_meanwhile
from triggers.store import policies
from triggers.store.resource_documents import (
    ADDRESS,
    CHANNEL,
    EVENT_TRIGGER,
    SUBSCRIPTION,
)
from triggers.store.resource_rows import DELETE, INSERT, SELECT, Resources
from triggers.store.selecting import BY_NAME


class _Named(Protocol):
    @property
    def uid(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def resource_version(self) -> int: ...


N = TypeVar("N", bound=_Named)

_NAMED = f"{SELECT} AND name = ?{BY_NAME}"
_AWAITING = f"{SELECT} AND facet IN (?, ?){BY_NAME}"
_BY_UID = f"{SELECT} AND uid = ?"
_VERSION = "SELECT version FROM resources WHERE kind = ? AND uid = ?"
_PUT = (
    "UPDATE resources SET facet = ?, version = ?, document = ?"
    " WHERE kind = ? AND uid = ? AND version = ?"
)


class _Versioned(Resources[N]):
    """What the stores of all kinds with a version have in common."""

    def facet(self, value: N) -> str:
        return ""

    def create(self, value: N) -> None:
        row = (self.facet(value), value.resource_version, self.document.encode(value))
        place = (value.uid, value.project, value.region, value.name)
        if not self._run(INSERT, self.kind, *row, *place):
            raise AlreadyExists(f"{self.noun} '{value.name}' already exists.")

    def get(self, uid: str) -> N:
        found = self._one(_BY_UID, uid)
        if found is None:
            raise self._gone(uid)
        return found

    def put(self, value: N, *, version: int) -> None:
        row = (self.facet(value), value.resource_version, self.document.encode(value))
        if self._run(_PUT, *row, self.kind, value.uid, version):
            return
        if not self._rows(_VERSION, value.uid):
            raise self._gone(value.uid)
        raise changed_meanwhile(self.noun, value.name)

    def delete(self, uid: str) -> None:
        """With its IAM policy."""

        def work(session: Session) -> None:
            session.execute(DELETE, (self.kind, uid))
            session.execute(policies.DELETE, (uid,))

        self._write(work)

    def _gone(self, uid: str) -> NotFound:
        return NotFound(f"There is no {self.noun.lower()} '{uid}' any more.")


class SqlSubscriptions(_Versioned[Subscription]):
    """See :class:`triggers.event_ports.SubscriptionStore`."""

    kind, noun, document = "subscription", "Subscription", SUBSCRIPTION

    def facet(self, value: Subscription) -> str:
        return value.intake.value

    def named(self, name: str) -> Sequence[Subscription]:
        return self._reader.readable(self._rows(_NAMED, name))

    def listing(
        self,
        project: str | None,
        region: str | None = None,
        *,
        intake: Intake | None = None,
        page: Page | None = None,
    ) -> Sequence[Subscription]:
        facet = None if intake is None else intake.value
        return self._reader.readable(self._page(project, region, facet, page))


class SqlEventTriggers(_Versioned[EventTrigger]):
    """See :class:`triggers.event_ports.EventTriggerStore`."""

    kind, noun, document = "event-trigger", "Event trigger", EVENT_TRIGGER

    def facet(self, value: EventTrigger) -> str:
        return _awaited(value.event_type, value.channel)

    def awaiting(self, event_type: str, channel: str = "") -> Sequence[EventTrigger]:
        facets = _awaited(event_type, channel), _awaited("", channel)
        return self._reader.readable(self._rows(_AWAITING, *facets))


class SqlChannels(_Versioned[Channel]):
    """See :class:`triggers.event_ports.ChannelStore`."""

    kind, noun, document = "channel", "Channel", CHANNEL


class SqlServiceBook(Resources[ServiceAddress]):
    """See :class:`triggers.event_ports.ServiceBook`. The place of an address is its uid."""

    kind, noun, document = "service", "Service", ADDRESS

    def put(self, address: ServiceAddress) -> None:
        place = (address.project, address.region, address.name)
        row = ("", 1, ADDRESS.encode(address), "/".join(("service", *place)), *place)
        sql = INSERT.replace("DO NOTHING", "(uid) DO UPDATE SET document = EXCLUDED.document")
        self._run(sql, self.kind, *row)

    def delete(self, scope: Scope, name: str) -> bool:
        uid = "/".join(("service", scope.project, scope.region, name))
        return bool(self._run(DELETE, self.kind, uid))


def _awaited(event_type: str, channel: str) -> str:
    """A type that is empty stands for a pattern."""
    return f"{channel} {event_type}"
