"""The stores of what people declare for events: each method is one transaction, or a part of one.

All kinds share a table: each is found by name, listed by name, and changed under the version that
was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, Conflict, NotFound, UsageError
from jobrunner.lib.database import Database, DatabaseError, Row, Session
from jobrunner.ports import Page
from triggers.core.event_triggers import Channel, EventTrigger, ServiceAddress
from triggers.core.records import Unreadable
from triggers.core.subscriptions import Intake, Subscription
from triggers.store import policies
from triggers.store.damage import Reader
from triggers.store.resource_documents import (
    ADDRESS,
    CHANNEL,
    EVENT_TRIGGER,
    SUBSCRIPTION,
    Document,
)
from triggers.store.sql import fault


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


T = TypeVar("T")
N = TypeVar("N", bound=_Named)

_SELECT = "SELECT uid, project, region, name, document FROM resources WHERE kind = ?"
_INSERT = (
    "INSERT INTO resources (kind, facet, version, document, uid, project, region, name)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_BY_NAME = f"{_SELECT} AND project = ? AND region = ? AND name = ?"
_NAMED = f"{_SELECT} AND name = ? ORDER BY project, region"
_BY_UID = f"{_SELECT} AND uid = ?"
_VERSION = "SELECT version FROM resources WHERE kind = ? AND uid = ?"
_PUT = (
    "UPDATE resources SET facet = ?, version = ?, document = ?"
    " WHERE kind = ? AND uid = ? AND version = ?"
)
_DELETE = "DELETE FROM resources WHERE kind = ? AND uid = ?"
_ORDER = " ORDER BY project, region, name"


class _Table(Generic[T]):
    """The rows of one kind."""

    def __init__(self, database: Database, kind: str, document: Document[T]) -> None:
        self.database = database
        self.kind = kind
        self.document = document
        noun = kind.replace("-", " ").capitalize()
        self.reader = Reader(noun, lambda row: document.decode(row[4]))

    def rows(self, sql: str, *params: object) -> list[T]:
        """Those that can be read. ``sql`` begins with ``_SELECT``; the kind is its first
        parameter."""
        return self.reader.readable(self.raw(sql, *params))

    def one(self, sql: str, *params: object) -> T | None:
        """Raises DamagedRow."""
        found = self.raw(sql, *params)
        return self.reader.one(found[0]) if found else None

    def raw(self, sql: str, *params: object) -> list[Row]:
        return self.read(lambda s: s.execute(sql, (self.kind, *params)).fetchall())

    def page(
        self,
        project: str | None,
        region: str | None,
        facet: str | None,
        page: Page | None,
    ) -> list[T]:
        return self.reader.readable(self._page(project, region, facet, page))

    def survey(
        self, project: str | None, region: str | None, page: Page | None
    ) -> list[T | Unreadable]:
        return self.reader.survey(self._page(project, region, None, page))

    def _page(
        self,
        project: str | None,
        region: str | None,
        facet: str | None,
        page: Page | None,
    ) -> list[Row]:
        sql, params = _SELECT, list[object]()
        for name, value in (("project", project), ("region", region), ("facet", facet)):
            if value is not None:
                sql += f" AND {name} = ?"
                params.append(value)
        if page is not None and page.after is not None:
            place = page.after.split("/")
            if len(place) != 3:
                form = "it is PROJECT/REGION/NAME"
                raise UsageError(f"The page token {page.after!r} is of no use here; {form}.")
            sql += " AND (project, region, name) > (?, ?, ?)"
            params += place
        sql += _ORDER
        if page is not None:
            sql += " LIMIT ?"
            params.append(page.limit)
        return self.raw(sql, *params)

    def read(self, work: Callable[[Session], list[Row]]) -> list[Row]:
        try:
            return self.database.read(work)
        except DatabaseError as error:
            raise fault(error) from error

    def write(self, sql: str, *params: object) -> int:
        try:
            return self.database.write(lambda s: s.execute(sql, params).rowcount)
        except DatabaseError as error:
            raise fault(error) from error


class _Resources(Generic[N]):
    """What the stores of all kinds with a version have in common."""

    kind: str
    noun: str
    document: Document[N]

    def __init__(self, database: Database) -> None:
        self._table = _Table(database, self.kind, self.document)

    def facet(self, value: N) -> str:
        return ""

    def create(self, value: N) -> None:
        row = (self.facet(value), value.resource_version, self.document.encode(value))
        place = (value.uid, value.project, value.region, value.name)
        if not self._table.write(_INSERT, self.kind, *row, *place):
            raise AlreadyExists(f"{self.noun} '{value.name}' already exists.")

    def find(self, scope: Scope, name: str) -> N | None:
        return self._table.one(_BY_NAME, scope.project, scope.region, name)

    def get(self, uid: str) -> N:
        found = self._table.one(_BY_UID, uid)
        if found is None:
            raise self._gone(uid)
        return found

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[N]:
        return self._table.page(project, region, None, page)

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[N | Unreadable]:
        return self._table.survey(project, region, page)

    def put(self, value: N, *, version: int) -> None:
        row = (self.facet(value), value.resource_version, self.document.encode(value))
        if self._table.write(_PUT, *row, self.kind, value.uid, version):
            return
        if not self._table.read(lambda s: s.execute(_VERSION, (self.kind, value.uid)).fetchall()):
            raise self._gone(value.uid)
        raise Conflict(
            f"{self.noun} '{value.name}' was changed by somebody else meanwhile.",
            hint="Look at it as it is now, then try again.",
        )

    def delete(self, uid: str) -> None:
        """With its IAM policy."""

        def work(session: Session) -> None:
            session.execute(_DELETE, (self.kind, uid))
            session.execute(policies.DELETE, (uid,))

        try:
            self._table.database.write(work)
        except DatabaseError as error:
            raise fault(error) from error

    def _gone(self, uid: str) -> NotFound:
        return NotFound(f"There is no {self.noun.lower()} '{uid}' any more.")


class SqlSubscriptions(_Resources[Subscription]):
    """See :class:`triggers.event_ports.SubscriptionStore`."""

    kind, noun, document = "subscription", "Subscription", SUBSCRIPTION

    def facet(self, value: Subscription) -> str:
        return value.intake.value

    def named(self, name: str) -> Sequence[Subscription]:
        return self._table.rows(_NAMED, name)

    def listing(
        self,
        project: str | None,
        region: str | None = None,
        *,
        intake: Intake | None = None,
        page: Page | None = None,
    ) -> Sequence[Subscription]:
        return self._table.page(project, region, None if intake is None else intake.value, page)


class SqlEventTriggers(_Resources[EventTrigger]):
    """See :class:`triggers.event_ports.EventTriggerStore`."""

    kind, noun, document = "event-trigger", "Event trigger", EVENT_TRIGGER

    def facet(self, value: EventTrigger) -> str:
        return _awaited(value.event_type, value.channel)

    def awaiting(self, event_type: str, channel: str = "") -> Sequence[EventTrigger]:
        sql = f"{_SELECT} AND facet IN (?, ?){_ORDER}"
        return self._table.rows(sql, _awaited(event_type, channel), _awaited("", channel))


class SqlChannels(_Resources[Channel]):
    """See :class:`triggers.event_ports.ChannelStore`."""

    kind, noun, document = "channel", "Channel", CHANNEL


class SqlServiceBook:
    """See :class:`triggers.event_ports.ServiceBook`. The place of an address is its uid."""

    def __init__(self, database: Database) -> None:
        self._table = _Table(database, "service", ADDRESS)

    def find(self, scope: Scope, name: str) -> ServiceAddress | None:
        return self._table.one(_BY_NAME, scope.project, scope.region, name)

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[ServiceAddress]:
        return self._table.page(project, region, None, page)

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[ServiceAddress | Unreadable]:
        return self._table.survey(project, region, page)

    def put(self, address: ServiceAddress) -> None:
        place = (address.project, address.region, address.name)
        row = ("", 1, ADDRESS.encode(address), "/".join(("service", *place)), *place)
        sql = _INSERT.replace("DO NOTHING", "(uid) DO UPDATE SET document = EXCLUDED.document")
        self._table.write(sql, "service", *row)

    def delete(self, scope: Scope, name: str) -> bool:
        uid = "/".join(("service", scope.project, scope.region, name))
        return bool(self._table.write(_DELETE, "service", uid))


def _awaited(event_type: str, channel: str) -> str:
    """A type that is empty stands for a pattern."""
    return f"{channel} {event_type}"
