"""Methods of ``projects.locations.jobs``."""

from __future__ import annotations

from collections.abc import Callable

from jobrunner.api.remembered import Remembered
from jobrunner.api.roles import check_overrides
from jobrunner.api.v1.answers import encoded, exists, missing
from jobrunner.api.v2.frame import Frame, check_etag
from jobrunner.api.v2.ledger import CREATE, DELETE, UPDATE, Ledger
from jobrunner.api.v2.orders import REQUEST, order_from_v2, override_path
from jobrunner.api.v2.reading import CREATE_REQUEST, UPDATE_REQUEST, JobDocument, job_from_v2
from jobrunner.api.v2.refusing import JOB, invalid
from jobrunner.api.v2.writing import job_to_v2
from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Document
from jobrunner.core.fields import v2_path
from jobrunner.core.params import flag, required
from jobrunner.core.records import Job, Scope
from jobrunner.errors import InvalidSpec, NotFound, Violation
from jobrunner.service.removing import Removing


class JobMethods:
    def __init__(self, frame: Frame, ledger: Ledger) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._service = frame.parts.service
        self._ledger = ledger
        self._shown: Remembered[Job] = Remembered(lambda job: encoded(job_to_v2(job)))

    async def get(self, call: Call) -> Answer:
        job = self._frame.job(self._frame.scope(call), call.params["job"])
        return Answer(self._shown(job))

    async def list(self, call: Call) -> Answer:
        asked = self._frame.asked(call, "jobs")
        place = self._frame.place(call)
        found = self._frame.listing.jobs(place, limit=asked.limit, after=asked.after)
        return self._frame.listed(asked, list(map(self._shown, found.items)), found.after)

    async def create(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), required(call.params, "jobId")
        document = job_from_v2(name, call.body, request=CREATE_REQUEST)
        return await self._written(call, lambda: self._create(call, scope, name, document))

    async def update(self, call: Call) -> Answer:
        """A full replacement of what can be written. There is no mask."""
        scope, name = self._frame.scope(call), call.params["job"]
        document = job_from_v2(name, call.body, request=UPDATE_REQUEST)
        may_create = flag(call.params, "allowMissing")

        def work() -> Document:
            jobs = self._service.acting(call.principal.name).jobs
            before = jobs.find(scope, name)
            if before is None and may_create:
                return self._create(call, scope, name, document)
            if before is None:
                raise missing("JOB", name, scope)
            check_etag(document.etag, before)
            version = before.resource_version
            job = jobs.replace(scope, name, document.spec, expect_version=version, checked=True)
            return self._ledger.stored(UPDATE, job, before.spec)

        return await self._written(call, work)

    async def delete(self, call: Call) -> Answer:
        """Ends what runs, and answers when all is gone."""
        scope, name = self._frame.scope(call), call.params["job"]
        seen = call.params.get("etag", "")
        job = self._frame.job(scope, name)
        if flag(call.params, "validateOnly"):
            check_etag(seen, job)
        else:
            service = self._service.acting(call.principal.name)
            removing = Removing(service, self._parts.commit, self._parts.runner)
            try:
                job = await removing.job(
                    scope, name, seen=lambda one: check_etag(seen, one), going=self._ledger.going
                )
            except NotFound:
                raise missing("JOB", name, scope) from None
        return await self._frame.operation(call, lambda: self._ledger.done(DELETE, job))

    async def run(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["job"]
        order = order_from_v2(call.body)
        check_overrides(call, order.overrides, scope, name)
        opened: list[str] = []

        def work() -> Document:
            executions = self._service.acting(call.principal.name).executions
            key = call.idempotency_key or None
            execution = executions.run(scope, name, order.overrides, idempotency_key=key)
            opened.append(execution.name)
            return self._ledger.run(execution)

        try:
            answer = await self._frame.operation(call, work, rehearse=order.validate_only)
        except NotFound:
            raise missing("JOB", name, scope) from None
        except InvalidSpec as error:
            found = [Violation(_run_path(v.field), v.message) for v in error.violations]
            raise invalid(REQUEST, found) from None
        self._parts.runner.look()
        return answer if answer.note else Answer(answer.body, note=opened[-1])

    # ------------------------------------------------------------ parts

    def _create(self, call: Call, scope: Scope, name: str, document: JobDocument) -> Document:
        jobs = self._service.acting(call.principal.name).jobs
        if jobs.find(scope, name) is not None:
            raise exists(name)
        job = jobs.create(scope, name, document.spec, checked=True)
        return self._ledger.stored(CREATE, job, None)

    async def _written(self, call: Call, work: Callable[[], Document]) -> Answer:
        answer = await self._frame.operation(call, work)
        # A token may have opened an execution.
        self._parts.runner.look()
        return answer


def _run_path(v1: str) -> str:
    return override_path(v1) if v1.startswith("overrides") else f"{JOB}.{v2_path(v1)}"
