"""One way to what a home keeps for triggers: the methods of our own API, called at its server, or
on its database where none runs.

A command speaks to a :class:`Desk` in the documents of the API and does not know which it has. A
room of the API that is to have commands gets a line in ``_ROOMS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from jobrunner.cli.base import State, may_have_server

if TYPE_CHECKING:
    from jobrunner.calls import Method
    from jobrunner.core.records import Scope
    from jobrunner.lib.database import Database
    from jobrunner.ports import Clock, Commit, Ids
    from jobrunner.service import Service

T = TypeVar("T")
Document = dict[str, Any]

API = "/jobrunner/v1"


@dataclass(frozen=True, slots=True)
class Bench:
    """What the methods of a room are made from where no server runs. ``scope`` is that of callers
    that name none."""

    database: Database
    service: Service
    clock: Clock
    ids: Ids
    scope: Scope
    commit: Commit


class Desk(Protocol):
    """``served`` says whether a server answers, which will act on what is written."""

    @property
    def served(self) -> bool: ...

    def call(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Document:
        """What the method answers. ``path`` is encoded (:func:`path_to`). Raises what it raises,
        and RunnerFault where a server does not answer."""
        ...


def path_to(collection: str, *names: str) -> str:
    """``path_to("deliveries", uid)``: the path of one of a collection. Raises UsageError for an
    empty name."""
    from urllib.parse import quote

    if not all(names):
        from jobrunner.errors import UsageError

        raise UsageError("A name is empty.")
    raw = (name.encode("utf-8", "surrogateescape") for name in names)
    return "/".join((API, collection, *(quote(name, safe="") for name in raw)))


def pages(
    desk: Desk, path: str, field: str, query: Mapping[str, str], most: int | None = None
) -> Iterator[Document]:
    """What a list holds under ``field``, page by page, up to ``most``."""
    left, token = most, ""
    while left is None or left > 0:
        size = 1000 if left is None else min(left, 1000)
        page = desk.call("GET", path, query={**query, "pageSize": str(size), "pageToken": token})
        yield from page[field]
        left = None if left is None else left - len(page[field])
        token = page.get("nextPageToken", "")
        if not token:
            return


@contextmanager
def desk_of(state: State) -> Iterator[Desk]:
    settings = state.settings()
    if may_have_server(settings.home, state.env):
        from jobrunner.client.finding import find_server

        endpoint = find_server(state.env, settings.home)
        if endpoint is not None:
            from jobrunner.client.documents import DocumentClient

            yield _Served(DocumentClient(endpoint).call)
            return
    from jobrunner.core.records import Scope

    with state.app() as app:
        store: Any = app.store

        async def commit(work: Callable[[], T]) -> T:
            [answer] = store.group([work])
            if isinstance(answer, Exception):
                raise answer
            found: T = answer
            return found

        # The store of a home shares its database with us, and nobody else; its port does not say.
        scope = Scope(settings.project, settings.region)
        bench = Bench(store.database, app.service, app.clock, app.ids, scope, commit)
        yield _Alone(bench, settings.user)


class _Served:
    served = True

    def __init__(self, call: Callable[..., Document]) -> None:
        self.call = call


class _Alone:
    """Answers by the same methods, without the network between."""

    served = False

    def __init__(self, bench: Bench, user: str) -> None:
        self._bench = bench
        self._user = user
        self._methods: dict[str, Sequence[Method]] = {}

    def call(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Document:
        import asyncio

        from jobrunner.calls import Call, Principal

        method, names = self._found(verb, path)
        params = {**(query or {}), **names}
        call = Call(params=params, body=body, principal=Principal(self._user))
        answer = asyncio.run(_answered(method, call))
        found: Document = answer
        return found

    def _found(self, verb: str, path: str) -> tuple[Method, dict[str, str]]:
        room = path.removeprefix(f"{API}/").partition("/")[0].partition(":")[0]
        if room not in self._methods:
            self._methods[room] = _ROOMS[room](self._bench)
        for method in self._methods[room]:
            names = names_in(method.path, path) if method.verb == verb else None
            if names is not None:
                return method, names
        raise LookupError(f"no method is {verb} {path}")


async def _answered(method: Method, call: Any) -> Any:
    return (await method.handler(call)).body


def names_in(template: str, path: str) -> dict[str, str] | None:
    """What the variables of a method's path stand for; ``None`` where it is another path."""
    from urllib.parse import unquote

    template, _, custom = template.partition(":")
    path, _, asked = path.partition(":")
    wanted, given = template.split("/"), path.split("/")
    if custom != asked or len(wanted) != len(given):
        return None
    names = {}
    for form, segment in zip(wanted, given, strict=True):
        if form.startswith("{"):
            names[form[1:-1]] = unquote(segment)
        elif form != segment:
            return None
    return names


# ---------------------------------------------------------------- the rooms


def _nothing() -> None:
    """Nobody has to be told: no server runs."""


def _deliveries(bench: Bench) -> Sequence[Method]:
    from triggers.api.deliveries import delivery_methods
    from triggers.service.deliveries import Deliveries
    from triggers.service.replaying import Replays
    from triggers.service.schedules_firing import Firing
    from triggers.store import open_deliveries, open_schedules

    store, schedules = open_deliveries(bench.database), open_schedules(bench.database)
    replays = Replays(Firing(schedules, store, bench.service.store, bench.ids), schedules)
    service = Deliveries(store, replays, bench.clock, bench.ids, bench.scope)

    async def at_once(work: Callable[[Deliveries], Document]) -> Document:
        return work(service)

    return delivery_methods(service, bench.service, bench.commit, _nothing, at_once)


def _schedules(bench: Bench) -> Sequence[Method]:
    from triggers.api.schedules.methods import schedule_methods
    from triggers.service.schedules import Schedules
    from triggers.store import open_deliveries, open_schedules

    deliveries, schedules = open_deliveries(bench.database), open_schedules(bench.database)
    service = bench.service
    use_cases = Schedules(schedules, deliveries, service.store, bench.clock, bench.ids)
    return schedule_methods(use_cases, service, bench.commit, bench.scope, _nothing)


def _queues(bench: Bench) -> Sequence[Method]:
    from triggers.api.queues.methods import queue_methods
    from triggers.service.queues import Queues
    from triggers.store import open_deliveries, open_queues

    deliveries, queues = open_deliveries(bench.database), open_queues(bench.database)
    use_cases = Queues(queues, deliveries, bench.clock, bench.ids)
    return queue_methods(use_cases, bench.service, bench.commit, bench.scope, _nothing)


def _buckets(bench: Bench) -> Sequence[Method]:
    from jobrunner.service.places import Places
    from triggers.api.events.buckets import bucket_methods
    from triggers.api.own import Where
    from triggers.service.buckets import Buckets
    from triggers.store import open_buckets, open_deliveries

    open_deliveries(bench.database)
    buckets = Buckets(open_buckets(bench.database), bench.clock, bench.ids)
    where = Where(Places(bench.service.store), bench.scope)
    return bucket_methods(buckets, where, bench.commit, _nothing)


def _events(bench: Bench) -> Sequence[Method]:
    from jobrunner.lib.clock import SystemClock
    from triggers.api.events.rooms import own_methods
    from triggers.service.backlog import Backlogs
    from triggers.service.events import Events
    from triggers.service.transports import Transports
    from triggers.store import open_declared, open_deliveries, open_event_log

    deliveries, declared = open_deliveries(bench.database), open_declared(bench.database)
    kept, backlogs = open_event_log(bench.database), Backlogs(SystemClock())
    return own_methods(
        triggers=declared.triggers,
        channels=declared.channels,
        book=declared.services,
        events=Events(declared.triggers, deliveries, kept, bench.ids, backlogs),
        kept=kept,
        transports=Transports(declared.triggers),
        service=bench.service,
        commit=bench.commit,
        clock=bench.clock,
        ids=bench.ids,
        default=bench.scope,
        look=_nothing,
    )


def _subscriptions(bench: Bench) -> Sequence[Method]:
    from jobrunner.lib.clock import SystemClock
    from triggers.api.subscriptions.methods import subscription_methods
    from triggers.service.subscriptions import Subscriptions
    from triggers.store import open_declared, open_deliveries

    deliveries, declared = open_deliveries(bench.database), open_declared(bench.database)
    use_cases = Subscriptions(
        declared.subscriptions, deliveries, bench.clock, SystemClock(), bench.ids
    )
    return subscription_methods(use_cases, bench.service, bench.commit, bench.scope)


_ROOMS: Mapping[str, Callable[[Bench], Sequence[Method]]] = {
    "buckets": _buckets,
    "deliveries": _deliveries,
    "event-triggers": _events,
    "events": _events,
    "queues": _queues,
    "schedules": _schedules,
    "services": _events,
    "subscriptions": _subscriptions,
}
