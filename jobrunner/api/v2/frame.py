"""What the methods of v2 share: where a call is about, how a list is asked for, rehearsals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jobrunner.api.v1.answers import array, encoded, missing
from jobrunner.api.v2.names import etag
from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Document
from jobrunner.core.params import flag, page_after, page_size, page_token
from jobrunner.core.records import Execution, Job, Scope
from jobrunner.errors import Conflict, JobrunnerError, NotFound
from jobrunner.service.listing import Listing, Place
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places, region

ANY = "-"
"""In a path: every location, every job, every execution."""


class _Rehearsed(JobrunnerError):
    """Undoes the work that raises it, and carries what the work would have answered."""

    def __init__(self, said: Document) -> None:
        super().__init__("nothing was written")
        self.said = said


class Asked(NamedTuple):
    """A page as it is asked for; its token belongs to ``bound``."""

    limit: int
    after: str | None
    bound: tuple[str, ...]


class Frame:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.places = Places(parts.service.store)
        self.listing = Listing(parts.service.store)

    # ------------------------------------------------------------ where

    def scope(self, call: Call) -> Scope:
        return self.places.scope(call.params["project"], call.params["location"])

    def place(self, call: Call) -> Place:
        """For lists: ``-`` means all locations."""
        location = call.params["location"]
        where = None if location == ANY else region(location)
        return Place(self.places.project(call.params["project"]), where)

    def job(self, scope: Scope, name: str) -> Job:
        found = self.parts.service.jobs.find(scope, name)
        if found is None:
            raise missing("JOB", name, scope)
        return found

    def execution(self, scope: Scope, job: str, name: str) -> Execution:
        """An execution of this very job."""
        try:
            found = self.parts.service.store.get_execution(scope, name)
        except NotFound:
            found = None
        if found is None or job not in (ANY, found.job_name):
            raise missing("EXECUTION", name, scope)
        return found

    # ------------------------------------------------------------ lists

    def asked(self, call: Call, kind: str, *variables: str) -> Asked:
        """``variables`` are those of the path that the list depends on."""
        place = self.place(call)
        deleted = str(flag(call.params, "showDeleted"))
        values = (call.params[name] for name in variables)
        bound = (kind, place.project, place.region or ANY, deleted, *values)
        return Asked(page_size(call.params), page_after(call.params, *bound), bound)

    def listed(self, asked: Asked, items: Sequence[bytes], after: str | None) -> Answer:
        """What is empty is left out, as everywhere: an empty list is ``{}``."""
        token = b""
        if after is not None:
            token = b'"nextPageToken":%s' % encoded(page_token(after, *asked.bound))
        if not items:
            return Answer(b"{%s}" % token)
        tail = b"],%s}" % token if token else b"]}"
        return Answer(array(b'{"%s":[' % asked.bound[0].encode(), items, tail))

    # ------------------------------------------------------------ writes

    async def operation(
        self, call: Call, work: Callable[[], Document], *, rehearse: bool | None = None
    ) -> Answer:
        """The operation that ``work`` opened, when all it wrote is durable. With ``rehearse``
        (without it: as the call's ``validateOnly`` says) everything is checked, the operation is
        done, and nothing is written."""
        if rehearse is None:
            rehearse = flag(call.params, "validateOnly")

        def rehearsed() -> Document:
            raise _Rehearsed(done(work()))

        try:
            said = await self.parts.commit(rehearsed if rehearse else work)
        except _Rehearsed as undone:
            said = undone.said
        return Answer(encoded(said), note="validateOnly: nothing was changed" if rehearse else "")


def done(said: Document) -> Document:
    """An operation as if nothing had to be waited for."""
    return said if "done" in said else {**said, "done": True, "response": said["metadata"]}


def check_etag(seen: str, found: Job | Execution) -> None:
    """``seen`` is the caller's; an empty one means whatever is there. Raises Conflict."""
    current = etag(found.resource_version)
    if seen and seen != current:
        raise Conflict(
            f"Conflict for resource '{found.name}': version '{seen[:63]}' was specified but current"
            f" version is '{current}'."
        )
