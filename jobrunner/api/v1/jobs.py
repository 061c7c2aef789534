"""Methods of ``namespaces.jobs``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jobrunner.api.audit import child, http_path
from jobrunner.api.remembered import Remembered
from jobrunner.api.roles import check_overrides
from jobrunner.api.shapes import V1_JOB, V1_RUN
from jobrunner.api.v1.answers import encoded, exists, missing, removed
from jobrunner.api.v1.frame import LIST, MOST_JOBS, PREFIX, REMOVE, Frame, method
from jobrunner.api.v1.orders import overrides_from_v1
from jobrunner.api.v1.reading import JobDocument, job_from_v1, seen_version
from jobrunner.api.v1.writing import execution_to_v1, job_to_v1
from jobrunner.calls import Answer, Call, Method
from jobrunner.core.params import invalid
from jobrunner.core.records import Execution, Job, Scope
from jobrunner.errors import AlreadyExists, Conflict, NotFound
from jobrunner.service.removing import Removing


class JobMethods:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._service = frame.parts.service
        self._shown = Remembered(self._bytes)

    def table(self) -> list[Method]:
        every, one = f"{PREFIX}/jobs", f"{PREFIX}/jobs/{{job}}"
        return [
            method(
                "run.jobs.create", "POST", every, self.create, "Makes a job", body=V1_JOB,
                about=_made,
            ),
            method("run.jobs.list", "GET", every, self.list, "Lists jobs", query=LIST),
            method("run.jobs.get", "GET", one, self.get, "Shows a job"),
            method("run.jobs.update", "PUT", one, self.replace, "Replaces a job", body=V1_JOB),
            method(
                "run.jobs.delete", "DELETE", one, self.delete, "Ends what runs, removes all",
                query=REMOVE,
            ),
            method(
                "run.jobs.run", "POST", f"{one}:run", self.run, "Opens an execution", body=V1_RUN
            ),
        ]  # fmt: skip

    async def create(self, call: Call) -> Answer:
        scope = self._frame.scope(call)
        document = self._document(call, scope)
        jobs = self._service.acting(call.principal.name).jobs

        def work() -> Job:
            try:
                return jobs.create(scope, document.name, document.spec, checked=True)
            except AlreadyExists:
                raise exists(document.name) from None

        return await self._written(work)

    async def get(self, call: Call) -> Answer:
        return Answer(self._shown(self._find(self._frame.scope(call), call.params["job"])))

    async def list(self, call: Call) -> Answer:
        asked = self._frame.asked(call, "jobs", default=MOST_JOBS, most=MOST_JOBS)
        return await self._frame.listed(call, asked, self._frame.listing.jobs, self._shown)

    async def replace(self, call: Call) -> Answer:
        """A full replacement. What the server owns is not read, and written anew."""
        scope, name = self._frame.scope(call), call.params["job"]
        document = self._document(call, scope)
        if document.name != name:
            raise invalid(
                "metadata.name",
                f"'{document.name[:63]}' is not the job of the path, which is '{name[:63]}'",
            )
        version = seen_version(call.body)
        jobs = self._service.acting(call.principal.name).jobs

        def work() -> Job:
            current = str(self._find(scope, name).resource_version)
            if version and version != current:
                raise Conflict(
                    f"Conflict for resource '{name}': version '{version[:63]}' was specified but"
                    f" current version is '{current}'."
                )
            return jobs.replace(
                scope, name, document.spec, expect_version=int(current), checked=True
            )

        return await self._written(work)

    async def delete(self, call: Call) -> Answer:
        """Ends what runs, and answers when all is gone."""
        scope, name = self._frame.scope(call), call.params["job"]
        self._find(scope, name)
        service = self._service.acting(call.principal.name)
        try:
            removing = Removing(service, self._parts.commit, self._parts.runner)
            job = await removing.job(scope, name, going=self._frame.ledger.going)
        except NotFound:
            raise missing("JOB", name, scope) from None
        return removed("jobs", name, job.uid)

    async def run(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["job"]
        overrides = overrides_from_v1(call.body)
        check_overrides(call, overrides, scope, name)
        executions = self._service.acting(call.principal.name).executions

        def work() -> Execution:
            key = call.idempotency_key or None
            try:
                return executions.run(scope, name, overrides, idempotency_key=key)
            except NotFound:
                raise missing("JOB", name, scope) from None

        execution = await self._parts.commit(work)
        self._parts.runner.look()
        number = self._frame.places.number(scope.project)
        shown = encoded(execution_to_v1(execution, namespace=number))
        return Answer(shown, note=execution.name)

    async def _written(self, work: Callable[[], Job]) -> Answer:
        job = await self._parts.commit(work)
        if job.spec.start_execution_token or job.spec.run_execution_token:
            self._parts.runner.look()
        return Answer(self._bytes(job))

    def _document(self, call: Call, scope: Scope) -> JobDocument:
        document = job_from_v1(call.body)
        if document.namespace:
            field = "metadata.namespace"
            if self._frame.places.project(document.namespace, field) != scope.project:
                raise invalid(
                    field,
                    f"'{document.namespace}' is not the project of the path, which is"
                    f" '{call.params['namespace']}'",
                )
        return document

    def _find(self, scope: Scope, name: str) -> Job:
        job = self._service.jobs.find(scope, name)
        if job is None:
            raise missing("JOB", name, scope)
        return job

    def _bytes(self, job: Job) -> bytes:
        return encoded(job_to_v1(job, namespace=self._frame.places.number(job.project)))


def _made(call: Call) -> str:
    metadata = call.body.get("metadata") if isinstance(call.body, Mapping) else None
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return child(http_path(f"{PREFIX}/jobs", call.params), name)
