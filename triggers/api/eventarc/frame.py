"""What the methods of the Eventarc API share: places, pages, and operations.

Every change is complete when it is answered. Its operation is stored finished, because clients ask
for it all the same; ``GET …/operations/ID`` of jobrunner answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Document, filled
from jobrunner.core.params import flag, invalid, page_after, page_size, page_token
from jobrunner.core.records import Operation, Scope
from jobrunner.core.timestamps import format_time
from jobrunner.errors import JobrunnerError
from jobrunner.ports import Page
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places, region
from triggers.api.eventarc.names import API_VERSION, TYPES, parent_of
from triggers.core.records import Unreadable

ANY = "-"
"""In a path: every location."""

T = TypeVar("T")


class Done(NamedTuple):
    """What a change has led to: the document of ``kind`` (Trigger, Channel) with that uid."""

    kind: str
    uid: str
    name: str
    document: Document


class Frame:
    """``changed`` tells the dispatcher that there is something new."""

    def __init__(self, parts: Parts, changed: Callable[[], None]) -> None:
        self.parts = parts
        self.places = Places(parts.service.store)
        self.changed = changed

    def scope(self, call: Call) -> Scope:
        return self.places.scope(call.params["project"], call.params["location"])

    # ------------------------------------------------------------ lists

    def page(
        self,
        call: Call,
        kind: str,
        listing: Callable[[str, str | None, Page], Sequence[T | Unreadable]],
        place: Callable[[T], str],
        shown: Callable[[T], Document | None],
        *bound: str,
    ) -> Answer:
        """``listing`` takes project, region and page; ``place`` says PROJECT/REGION/NAME of an
        item, ``shown`` its document, or ``None`` to leave it out of a page, which may then be
        short. What cannot be read is ``unreachable``. ``bound`` is what has to be the same on
        the next page."""
        project = self.places.project(call.params["project"])
        location = call.params["location"]
        where = None if location == ANY else region(location)
        bound = (f"eventarc.{kind}", project, location, *bound)
        after, size = page_after(call.params, *bound), page_size(call.params)
        found = listing(project, where, Page(size + 1, after))
        token = ""
        if len(found) > size:
            last = found[size - 1]
            cut = "/".join(_place(last)) if isinstance(last, Unreadable) else place(last)
            token = page_token(cut, *bound)
        there = [shown(one) for one in found[:size] if not isinstance(one, Unreadable)]
        unreachable = [
            f"{parent_of(Scope(one.project, one.region))}/{kind}/{one.name}"
            for one in found[:size]
            if isinstance(one, Unreadable)
        ]
        documents = [one for one in there if one is not None]
        return Answer(filled(**{kind: documents}, unreachable=unreachable, nextPageToken=token))

    # ------------------------------------------------------------ changes

    async def operation(
        self, call: Call, scope: Scope, verb: str, work: Callable[[], Done]
    ) -> Answer:
        """The finished operation of ``work``, when all it wrote is durable. With ``validateOnly``
        everything is checked and nothing is written."""
        rehearse = flag(call.params, "validateOnly")
        now = self.parts.clock.now()

        def written() -> Document:
            done = work()
            id = self.parts.ids.uid()
            at = format_time(now)
            kept: Document = {
                "metadata": {
                    "@type": f"{TYPES}.OperationMetadata",
                    "createTime": at,
                    "endTime": format_time(self.parts.clock.now()),
                    "target": done.name,
                    "verb": verb,
                    "apiVersion": API_VERSION,
                },
                "done": True,
                "response": {"@type": f"{TYPES}.{done.kind}", **done.document},
            }
            said = {"name": f"{parent_of(scope)}/operations/{id}", **kept}
            if rehearse:
                raise _Rehearsed(said)
            self.parts.service.store.put_operation(
                Operation(
                    id=id,
                    project=scope.project,
                    region=scope.region,
                    kind=verb,
                    target_kind=done.kind.lower(),
                    target_uid=done.uid,
                    target_name=done.name.rpartition("/")[2],
                    created_at=now,
                    done_at=now,
                    document=json.dumps(kept),
                )
            )
            return said

        try:
            said = await self.parts.commit(written)
        except _Rehearsed as undone:
            return Answer(undone.said, note="validateOnly: nothing was changed")
        self.changed()
        return Answer(said)

    async def amended(self, scope: Scope, answer: Answer, document: Document) -> Answer:
        """The same operation with what is known by now of what it has made."""
        before: Document = answer.body
        kind = before["response"]["@type"] if isinstance(before["response"], dict) else ""
        said: Document = {**before, "response": {"@type": kind, **document}}
        kept = {key: value for key, value in said.items() if key != "name"}
        store = self.parts.service.store

        def work() -> None:
            operation = store.get_operation(scope, str(said["name"]).rpartition("/")[2])
            store.put_operation(replace(operation, document=json.dumps(kept)))

        await self.parts.commit(work)
        return Answer(said)


def _place(one: Unreadable) -> tuple[str, str, str]:
    return one.project, one.region, one.name


def new_id(call: Call, name: str) -> str:
    """The id that a create names in its query. Raises InvalidSpec."""
    id = call.params.get(name, "")
    if not id:
        raise invalid(name, f"the parameter '{name}' is required")
    return id


def check_order(call: Call, *allowed: str) -> None:
    """Lists are in the order of their names, and in no other."""
    order = call.params.get("orderBy", "").strip()
    if order not in ("", *allowed, *(f"{one} asc" for one in allowed)):
        form = f"allowed: {', '.join(allowed)}"
        raise invalid("orderBy", f"'{order[:60]}' is not an order that lists come in; {form}")


class _Rehearsed(JobrunnerError):
    """Undoes the work that raises it, and carries what the work would have answered."""

    def __init__(self, said: Document) -> None:
        super().__init__("nothing was written")
        self.said = said
