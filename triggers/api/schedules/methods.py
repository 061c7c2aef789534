"""Methods of schedules as a table. Project and region come in the query, or in the body of what is
to be made; the server's own where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.documents import Node
from jobrunner.core.params import page_after, page_size, page_token
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec
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
    read_settings,
    version_of,
)
from triggers.api.schedules.history import compared, occurrences, range_of
from triggers.api.schedules.reading import NEW, OUTPUT, Settings, in_scope, one_of, settings_of
from triggers.api.schedules.writing import Document, schedule_document, time
from triggers.core.records import HttpTarget, JobTarget, Overlap, Schedule, Target, Unreadable
from triggers.core.zones import offset_text, zone_of
from triggers.errors import changed_meanwhile
from triggers.ports import Armed
from triggers.service.schedules import Schedules

PATH = "/jobrunner/v1/schedules"
ONE = f"{PATH}/{{schedule}}"
_RANGE = ("start", "end")


def schedule_methods(
    schedules: Schedules,
    service: Service,
    commit: Commit,
    default: Scope,
    changed: Callable[[], None],
) -> Sequence[Method]:
    """``changed`` tells the ticker and the dispatcher that there is something new."""
    table = _Table(schedules, service, commit, default, changed)
    method = Maker("schedules", table.about)
    return [
        method("list", "GET", PATH, table.list, Role.VIEWER, "Lists schedules by name", PAGE),
        method("create", "POST", PATH, table.create, Role.ADMIN, "Makes a schedule"),
        method("get", "GET", ONE, table.get, Role.VIEWER, "Shows a schedule"),
        method("replace", "PUT", ONE, table.replace, Role.ADMIN, "Makes a schedule what it says"),
        method("delete", "DELETE", ONE, table.delete, Role.ADMIN,
               "Removes a schedule with its history"),
        method("pause", "POST", f"{ONE}:pause", table.pause, Role.ADMIN, "Stops firing"),
        method("resume", "POST", f"{ONE}:resume", table.resume, Role.ADMIN, "Fires again"),
        method("run", "POST", f"{ONE}:run", table.run, Role.INVOKER, "Fires now"),
        method("backfill", "POST", f"{ONE}:backfill", table.backfill, Role.ADMIN,
               "Opens what was due in a range"),
        method("occurrences", "GET", f"{ONE}/occurrences", table.occurrences, Role.VIEWER,
               "What came of a schedule, newest first", PAGE),
        method("compare", "GET", f"{ONE}:compare", table.compare, Role.VIEWER,
               "What the rules tell of a range, set against what happened", (*_RANGE, "pageSize")),
    ]  # fmt: skip


class _Table:
    def __init__(
        self,
        schedules: Schedules,
        service: Service,
        commit: Commit,
        default: Scope,
        changed: Callable[[], None],
    ) -> None:
        self._schedules = schedules
        self._service = service
        self._where = Where(Places(service.store), default)
        self._commit = commit
        self._changed = changed

    # ------------------------------------------------------------ reads

    async def list(self, call: Call) -> Answer:
        scope = self._where.scope(call.params)
        bound = ("schedules", *scope)
        after, size = page_after(call.params, *bound), page_size(call.params)
        found = self._schedules.store.survey(*scope, page=Page(size + 1, after))
        rows = self._schedules.surveyed(found[:size])
        answer: Document = {"schedules": [document_of(row, schedule_document) for row in rows]}
        if len(found) > size:
            last = rows[-1]
            name = last.name if isinstance(last, Unreadable) else last.schedule.name
            answer["nextPageToken"] = page_token(f"{'/'.join(scope)}/{name}", *bound)
        return Answer(answer)

    async def get(self, call: Call) -> Answer:
        return Answer(self._document(self._schedules.find(*self._named(call))))

    async def occurrences(self, call: Call) -> Answer:
        schedule = self._schedules.find(*self._named(call)).schedule
        return Answer(occurrences(self._schedules, schedule, call.params))

    async def compare(self, call: Call) -> Answer:
        schedule = self._schedules.find(*self._named(call)).schedule
        return Answer(compared(self._schedules, schedule, call.params))

    # ------------------------------------------------------------ changes

    async def create(self, call: Call) -> Answer:
        """Project and region of the body win over those of the query."""
        body = body_of(call, "schedule")
        scope = self._where.of_body(call, body)
        wanted = replace(NEW, **identity(scope, body), **_settings(body, scope))
        self._job_is_there(None, wanted)
        return await self._written(partial(self._schedules.create, wanted))

    async def replace(self, call: Call) -> Answer:
        """With a ``resourceVersion`` only if nobody has changed it since."""
        body = body_of(call, "schedule")
        scope, name = self._named(call)
        settings, version = _settings(body, scope), version_of(body)

        def change(old: Schedule) -> Schedule:
            if version is not None and version != old.resource_version:
                raise changed_meanwhile("Schedule", name)
            new = replace(old, **_kept(old, settings))
            self._job_is_there(old, new)
            return new

        return await self._written(lambda: self._schedules.update(scope, name, change))

    async def delete(self, call: Call) -> Answer:
        scope, name = self._named(call)
        await self._commit(lambda: self._schedules.delete(scope, name))
        self._changed()
        return Answer({})

    async def pause(self, call: Call) -> Answer:
        return await self._written(partial(self._schedules.pause, *self._named(call)))

    async def resume(self, call: Call) -> Answer:
        return await self._written(partial(self._schedules.resume, *self._named(call)))

    async def run(self, call: Call) -> Answer:
        return await self._written(partial(self._schedules.run, *self._named(call)))

    async def backfill(self, call: Call) -> Answer:
        """Answers the instants in the zone of the schedule."""
        body = body_of(call, "schedule")
        problems = Problems()
        node = Node(body, "", problems)
        id, dry = node.text("id"), node.flag("dryRun")
        overlap = one_of(node, "overlap", Overlap)
        texts = {key: node.text(key) for key in _RANGE}
        node.end()
        if problems.violations:
            raise InvalidSpec(problems.violations)
        start, end = range_of(texts)
        scope, name = self._named(call)
        zone = zone_of(self._schedules.find(scope, name).schedule.time_zone)
        before, skipped = self._schedules.backfilled(scope, name, id, start, end)
        if dry:
            plan = self._schedules.planned(scope, name, id, start, end)
        else:
            backfill = partial(self._schedules.backfill, scope, name, id, start, end)
            plan = await self._commit(lambda: backfill(overlap=overlap))
            _, skipped = self._schedules.backfilled(scope, name, id, start, end)
            self._changed()
        instants = [offset_text(key.nominal, zone) for key in plan.keys]
        return Answer(
            {
                "id": id,
                "dryRun": dry,
                "instants": instants,
                "openedBefore": before,
                "skipped": skipped,
            }
        )

    def about(self, call: Call) -> str:
        return self._where.about(call, "schedules", "schedule")

    # ------------------------------------------------------------ parts

    async def _written(self, work: Callable[[], Armed]) -> Answer:
        armed = await self._commit(work)
        self._changed()
        return Answer(self._document(armed))

    def _document(self, armed: Armed) -> Document:
        return schedule_document(self._schedules.seen(armed))

    def _named(self, call: Call) -> tuple[Scope, str]:
        return self._where.scope(call.params), call.params["schedule"]

    def _job_is_there(self, old: Schedule | None, new: Schedule) -> None:
        """Raises NotFound. A job that went away later does not forbid other changes."""
        if old is None or _job(old.target) != _job(new.target):
            check_job(self._service, new.target)


def _job(target: Target) -> tuple[str, str, str] | None:
    """The job that it starts, if any."""
    if isinstance(target, JobTarget):
        return target.project, target.region, target.job
    return None


def _settings(body: Document, scope: Scope) -> Settings:
    return in_scope(read_settings(body, OUTPUT, settings_of), scope)


def _kept(old: Schedule, settings: Settings) -> Settings:
    """``settings`` as they are to be stored: what documents do not show stays, and an instant that
    is shown as before is the one of before."""
    kept = dict(settings)
    for key in ("starts_at", "ends_at"):
        if time(kept[key]) == time(getattr(old, key)):
            kept[key] = getattr(old, key)
    target = kept["target"]
    if isinstance(target, HttpTarget) and isinstance(old.target, HttpTarget):
        hidden = ("follow_redirects", "response_cap", "verify_tls", "proxy")
        kept["target"] = replace(target, **{name: getattr(old.target, name) for name in hidden})
    return kept
