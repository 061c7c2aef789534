"""Methods of ``projects.locations.queues``."""

from __future__ import annotations

import re
from collections.abc import Callable

from jobrunner.calls import Answer, Call
from jobrunner.core.documents import filled
from jobrunner.core.params import invalid, page_after, page_size, page_token
from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, InvalidSpec, NotFound
from jobrunner.ports import Page
from jobrunner.service.places import region
from triggers.api.tasks.frame import Frame
from triggers.api.tasks.names import queue_id, queue_name
from triggers.api.tasks.queue_reading import new_queue, patched
from triggers.api.tasks.queue_writing import queue_document
from triggers.core.queues import Queue, QueueState
from triggers.core.records import Unreadable
from triggers.service.purges import Purges

LARGEST_PAGE = 9800
_FILTER = re.compile(r'\s*state\s*(:|=|!=)\s*"?([A-Za-z]+)"?\s*')


class QueueMethods:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._queues = frame.queues
        self._purges = Purges(frame.queues, frame.parts.commit, frame.changed)

    async def list(self, call: Call) -> Answer:
        """The filter is applied to the page, which may be short for it."""
        project = self._frame.places.project(call.params["project"])
        where = region(call.params["location"])
        text = call.params.get("filter", "")
        wanted = _wanted(text)
        bound = ("queues", project, where, text)
        after = page_after(call.params, *bound)
        size = page_size(call.params, default=LARGEST_PAGE, most=LARGEST_PAGE)
        found = self._queues.survey(project, where, page=Page(size + 1, after))
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = page_token(f"{last.project}/{last.region}/{last.name}", *bound)
        shown = [
            {"name": queue_name(Scope(one.project, one.region), one.name)}
            if isinstance(one, Unreadable)
            else queue_document(one)
            for one in found[:size]
            if isinstance(one, Unreadable) or one.state in wanted
        ]
        return Answer(filled(queues=shown, nextPageToken=token))

    async def get(self, call: Call) -> Answer:
        scope = self._frame.scope(call)
        return Answer(queue_document(self._queues.get(scope, call.params["queue"])))

    async def create(self, call: Call) -> Answer:
        scope = self._frame.scope(call)
        body = call.body if isinstance(call.body, dict) else {}
        name = queue_id(body.get("name"), scope, self._frame.places.project)
        wanted = new_queue(_base(scope, name), call.body)
        queue = await self._frame.write(lambda: self._queues.create(wanted))
        return Answer(queue_document(queue))

    async def patch(self, call: Call) -> Answer:
        """Makes the queue where there is none, as at Google."""
        scope, name = self._frame.scope(call), call.params["queue"]
        mask = call.params.get("updateMask", "")

        def change(old: Queue) -> Queue:
            return patched(old, call.body, mask)

        def work() -> Queue:
            try:
                return self._queues.update(scope, name, change)
            except NotFound:
                pass
            try:
                return self._queues.create(change(_base(scope, name)))
            except AlreadyExists:
                # Somebody else has just made it.
                return self._queues.update(scope, name, change)

        return Answer(queue_document(await self._frame.write(work)))

    async def delete(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["queue"]
        await self._purges.delete(scope, name)
        return Answer({})

    async def pause(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["queue"]
        queue = await self._frame.write(lambda: self._queues.pause(scope, name))
        self._queues.halted(queue)
        return Answer(queue_document(queue))

    async def resume(self, call: Call) -> Answer:
        return await self._written(call, self._queues.resume)

    async def purge(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["queue"]
        return Answer(queue_document(await self._purges.purge(scope, name)))

    async def _written(self, call: Call, work: Callable[[Scope, str], Queue]) -> Answer:
        scope, name = self._frame.scope(call), call.params["queue"]
        queue = await self._frame.write(lambda: work(scope, name))
        return Answer(queue_document(queue))


def _base(scope: Scope, name: str) -> Queue:
    return Queue("", scope.project, scope.region, name)


def _wanted(text: str) -> frozenset[QueueState]:
    """The states that a filter lets through."""
    every = frozenset(QueueState)
    if not text.strip():
        return every
    match = _FILTER.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        state = frozenset({QueueState(match[2].upper())})
    except ValueError:
        raise _no_filter(text) from None
    return every - state if match[1] == "!=" else state


def _no_filter(text: str) -> InvalidSpec:
    states = ", ".join(QueueState)
    return invalid("filter", f"'{text[:60]}' is not a filter; allowed: state: STATE, of {states}")
