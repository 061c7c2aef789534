"""Methods of ``projects.locations.jobs`` of the Scheduler API, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from jobrunner.calls import Answer, Call, Handler, Method, Role
from jobrunner.core.documents import Document, filled
from jobrunner.core.params import page_after, page_size, page_token
from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, NotFound
from jobrunner.ports import Page
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places, region
from triggers.api.scheduler.names import full_name, job_id
from triggers.api.scheduler.reading import new_schedule, patched
from triggers.api.scheduler.writing import damaged_document, job_document
from triggers.core.records import HttpTarget, Schedule, Unreadable
from triggers.ports import Armed
from triggers.service.schedules import Schedules

T = TypeVar("T")

LARGEST_PAGE = 500
ANY = "-"
SERVICE = "google.cloud.scheduler.v1.CloudScheduler"


def scheduler_methods(
    schedules: Schedules, parts: Parts, changed: Callable[[], None]
) -> Sequence[Method]:
    """``changed`` tells the ticker and the dispatcher that there is something new."""
    jobs = _Jobs(schedules, parts, changed)
    every = "/v1/projects/{project}/locations/{location}/jobs"
    one = f"{every}/{{job}}"

    def method(
        name: str,
        rpc: str,
        verb: str,
        path: str,
        handler: Handler,
        role: Role,
        summary: str,
        query: tuple[str, ...] = (),
        about: Callable[[Call], str] | None = None,
    ) -> Method:
        changes = role is not Role.VIEWER
        full = f"cloudscheduler.jobs.{name}"
        return Method(
            full, verb, path, handler, role,
            changes=changes, grpc=f"{SERVICE}/{rpc}", summary=summary, query=query, about=about,
        )  # fmt: skip

    return [
        method("list", "ListJobs", "GET", every, jobs.list, Role.VIEWER,
               "Lists scheduled jobs", ("pageSize", "pageToken", "filter")),
        method("create", "CreateJob", "POST", every, jobs.create, Role.ADMIN,
               "Creates a scheduled job", about=_named),
        method("get", "GetJob", "GET", one, jobs.get, Role.VIEWER,
               "Shows a scheduled job"),
        method("update", "UpdateJob", "PATCH", one, jobs.patch, Role.ADMIN,
               "Changes a scheduled job", ("updateMask",)),
        method("delete", "DeleteJob", "DELETE", one, jobs.delete, Role.ADMIN,
               "Removes a scheduled job"),
        method("pause", "PauseJob", "POST", f"{one}:pause", jobs.pause, Role.ADMIN,
               "Pauses a scheduled job"),
        method("resume", "ResumeJob", "POST", f"{one}:resume", jobs.resume, Role.ADMIN,
               "Resumes a scheduled job"),
        method("run", "RunJob", "POST", f"{one}:run", jobs.run, Role.INVOKER,
               "Runs a scheduled job now"),
    ]  # fmt: skip


def _named(call: Call) -> str:
    name = call.body.get("name") if isinstance(call.body, dict) else None
    return name if isinstance(name, str) else ""


class _Jobs:
    def __init__(self, schedules: Schedules, parts: Parts, changed: Callable[[], None]) -> None:
        self._schedules = schedules
        self._parts = parts
        self._places = Places(parts.service.store)
        self._changed = changed

    async def list(self, call: Call) -> Answer:
        project = self._places.project(call.params["project"])
        location = call.params["location"]
        where = None if location == ANY else region(location)
        bound = ("jobs", project, where or ANY)
        after = page_after(call.params, *bound)
        size = page_size(call.params, default=LARGEST_PAGE, most=LARGEST_PAGE)
        found = self._schedules.store.survey(project, where, page=Page(size + 1, after))
        token = ""
        if len(found) > size:
            cut = found[size - 1]
            last = cut if isinstance(cut, Unreadable) else cut.schedule
            token = page_token(f"{last.project}/{last.region}/{last.name}", *bound)
        jobs = [
            damaged_document(one) if isinstance(one, Unreadable) else self._document(one)
            for one in found[:size]
        ]
        return Answer(filled(jobs=jobs, nextPageToken=token))

    async def get(self, call: Call) -> Answer:
        scope = self._scope(call)
        armed = self._found(call, lambda name: self._schedules.find(scope, name))
        return Answer(self._document(armed))

    async def create(self, call: Call) -> Answer:
        scope = self._scope(call)
        body = call.body if isinstance(call.body, dict) else {}
        name = job_id(body.get("name"), scope, self._places.project)
        if not name:
            name = f"job-{self._parts.ids.uid()[:13]}"
        base = Schedule("", scope.project, scope.region, name, "", HttpTarget(""))
        wanted = new_schedule(base, call.body)

        def work() -> Armed:
            try:
                return self._schedules.create(wanted)
            except AlreadyExists:
                raise AlreadyExists(f"Job {full_name(scope, name)} already exists.") from None

        armed = await self._parts.commit(work)
        self._changed()
        return Answer(self._document(armed))

    async def patch(self, call: Call) -> Answer:
        mask = call.params.get("updateMask", "")
        return await self._written(
            call,
            lambda scope, name: self._schedules.update(
                scope, name, lambda old: patched(old, call.body, mask)
            ),
        )

    async def pause(self, call: Call) -> Answer:
        return await self._written(call, self._schedules.pause)

    async def resume(self, call: Call) -> Answer:
        return await self._written(call, self._schedules.resume)

    async def run(self, call: Call) -> Answer:
        return await self._written(call, self._schedules.run)

    async def delete(self, call: Call) -> Answer:
        scope = self._scope(call)
        await self._parts.commit(
            lambda: self._found(call, lambda name: self._schedules.delete(scope, name))
        )
        self._changed()
        return Answer({})

    async def _written(self, call: Call, work: Callable[[Scope, str], Armed]) -> Answer:
        scope = self._scope(call)
        armed = await self._parts.commit(lambda: self._found(call, lambda name: work(scope, name)))
        self._changed()
        return Answer(self._document(armed))

    def _scope(self, call: Call) -> Scope:
        return self._places.scope(call.params["project"], call.params["location"])

    def _document(self, armed: Armed) -> Document:
        return job_document(self._schedules.seen(armed))

    def _found(self, call: Call, work: Callable[[str], T]) -> T:
        name = call.params["job"]
        try:
            return work(name)
        except NotFound:
            raise NotFound(f"Job {full_name(self._scope(call), name)} not found.") from None
