"""``/jobrunner/v1/queues``: queues and their items. Project and region come in the query, or in the
body of a queue that is to be made; the server's own where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.params import page_after, page_size, page_token
from jobrunner.core.records import Scope
from jobrunner.ports import Commit, Page
from jobrunner.service import Service
from jobrunner.service.places import Places
from triggers.api.own import (
    PAGE,
    Maker,
    Where,
    body_of,
    check_job,
    document_of,
    identity,
    page,
    read_settings,
    shown,
    version_of,
)
from triggers.api.queues.reading import NEW, OUTPUT, Settings, item_of, settings_of
from triggers.api.queues.wording import in_our_words
from triggers.api.queues.writing import Document, item_document, queue_document
from triggers.core.queues import Queue, Task
from triggers.errors import changed_meanwhile
from triggers.service.purges import Purges
from triggers.service.queues import Queues

PATH = "/jobrunner/v1/queues"
ONE = f"{PATH}/{{queue}}"
ITEMS = f"{ONE}/items"
ITEM = f"{ITEMS}/{{item}}"


def queue_methods(
    queues: Queues, service: Service, commit: Commit, default: Scope, look: Callable[[], None]
) -> Sequence[Method]:
    """``look`` tells the dispatcher that there is something new."""
    table = _Table(queues, service, commit, default, look)
    method = Maker("queues", table.about)
    made = [
        method("list", "GET", PATH, table.list, Role.VIEWER, "Lists queues by name", PAGE),
        method("create", "POST", PATH, table.create, Role.ADMIN, "Makes a queue"),
        method("get", "GET", ONE, table.get, Role.VIEWER, "Shows a queue"),
        method("replace", "PUT", ONE, table.replace, Role.ADMIN, "Makes a queue what it says"),
        method("delete", "DELETE", ONE, table.delete, Role.ADMIN, "Removes a queue and its items"),
        method("pause", "POST", f"{ONE}:pause", table.pause, Role.ADMIN, "Stops sending"),
        method("resume", "POST", f"{ONE}:resume", table.resume, Role.ADMIN, "Sends again"),
        method("purge", "POST", f"{ONE}:purge", table.purge, Role.ADMIN, "Withdraws all items"),
        method("items.list", "GET", ITEMS, table.items, Role.VIEWER, "Lists items", PAGE),
        method("items.add", "POST", ITEMS, table.add, Role.ADMIN, "Adds an item"),
        method("items.get", "GET", ITEM, table.item, Role.VIEWER, "Shows an item"),
        method("items.delete", "DELETE", ITEM, table.withdraw, Role.ADMIN, "Withdraws an item"),
        method("items.run", "POST", f"{ITEM}:run", table.run, Role.INVOKER, "Sends an item now"),
    ]
    return [replace(one, handler=in_our_words(table.where, one.handler)) for one in made]


class _Table:
    def __init__(
        self,
        queues: Queues,
        service: Service,
        commit: Commit,
        default: Scope,
        look: Callable[[], None],
    ) -> None:
        self._queues = queues
        self._service = service
        self.where = Where(Places(service.store), default)
        self._commit = commit
        self._look = look
        self._purges = Purges(queues, commit, look)

    # ------------------------------------------------------------ queues

    async def list(self, call: Call) -> Answer:
        scope = self.where.scope(call.params)

        return Answer(page(call, "queues", scope, self._queues.survey, queue_document))

    async def get(self, call: Call) -> Answer:
        return Answer(self._document(self._queues.get(*self._named(call))))

    async def create(self, call: Call) -> Answer:
        """Project and region of the body win over those of the query."""
        body = body_of(call)
        known = identity(self.where.of_body(call, body), body)
        wanted = replace(NEW, **known, **_settings(body))
        return await self._written(partial(self._queues.create, wanted))

    async def replace(self, call: Call) -> Answer:
        """With a ``resourceVersion`` only if nobody has changed it since."""
        body = body_of(call)
        scope, name = self._named(call)
        settings, version = _settings(body), version_of(body)

        def change(old: Queue) -> Queue:
            if version is not None and version != old.resource_version:
                raise changed_meanwhile("Queue", name)
            return replace(old, **settings)

        return await self._written(lambda: self._queues.update(scope, name, change))

    async def delete(self, call: Call) -> Answer:
        scope, name = self._named(call)
        await self._purges.delete(scope, name)
        return Answer({})

    async def pause(self, call: Call) -> Answer:
        queue = await self._commit(partial(self._queues.pause, *self._named(call)))
        self._queues.halted(queue)
        self._look()
        return Answer(self._document(queue))

    async def resume(self, call: Call) -> Answer:
        return await self._written(partial(self._queues.resume, *self._named(call)))

    async def purge(self, call: Call) -> Answer:
        return Answer(self._document(await self._purges.purge(*self._named(call))))

    # ------------------------------------------------------------ items

    async def items(self, call: Call) -> Answer:
        scope, name = self._named(call)
        bound = ("items", *scope, name)
        after, size = page_after(call.params, *bound), page_size(call.params)
        found = self._queues.list_tasks(scope, name, page=Page(size + 1, after))
        answer: Document = {"items": [document_of(one, item_document) for one in found[:size]]}
        if len(found) > size:
            answer["nextPageToken"] = page_token(found[size - 1].name, *bound)
        return Answer(answer)

    async def item(self, call: Call) -> Answer:
        return Answer(item_document(self._queues.get_task(*self._named(call), call.params["item"])))

    async def add(self, call: Call) -> Answer:
        scope, queue = self._named(call)
        wanted = item_of(body_of(call), scope)
        check_job(self._service, wanted.target)
        return await self._item(
            lambda: self._queues.create_task(
                scope,
                queue,
                name=wanted.name,
                target=wanted.target,
                schedule_time=wanted.schedule_time,
                delay=wanted.delay,
                retry=wanted.retry,
            )
        )

    async def withdraw(self, call: Call) -> Answer:
        scope, queue = self._named(call)
        await self._commit(lambda: self._queues.delete_task(scope, queue, call.params["item"]))
        self._look()
        return Answer({})

    async def run(self, call: Call) -> Answer:
        scope, queue = self._named(call)
        return await self._item(lambda: self._queues.run_task(scope, queue, call.params["item"]))

    def about(self, call: Call) -> str:
        path = self.where.about(call, "queues", "queue")
        item = call.params.get("item") if path else None
        return f"{path}/items/{shown(item[:500])}" if item else path

    # ------------------------------------------------------------ parts

    async def _written(self, work: Callable[[], Queue]) -> Answer:
        queue = await self._commit(work)
        self._look()
        return Answer(self._document(queue))

    async def _item(self, work: Callable[[], Task]) -> Answer:
        task = await self._commit(work)
        self._look()
        return Answer(item_document(task))

    def _document(self, queue: Queue) -> Document:
        return queue_document(queue, self._queues.depth(queue))

    def _named(self, call: Call) -> tuple[Scope, str]:
        return self.where.scope(call.params), call.params["queue"]


def _settings(body: Document) -> Settings:
    return read_settings(body, OUTPUT, settings_of)
