"""Use cases on jobs: one transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobrunner.core.defaults import default_service_account, fill_defaults
from jobrunner.core.nearest import nearest
from jobrunner.core.records import Job, Scope
from jobrunner.core.spec import JobSpec
from jobrunner.core.validation import validate_job
from jobrunner.errors import AlreadyExists, Conflict, InvalidSpec, NotFound
from jobrunner.ports import Clock, Ids, Page, Store
from jobrunner.service.starting import Starting


class Jobs:
    """Create, replace, read and delete jobs. ``actor`` is stored as creator or last modifier."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, *, actor: str, starting: Starting | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._actor = actor
        self._starting = starting or Starting(store)

    def create(
        self,
        scope: Scope,
        name: str,
        spec: JobSpec,
        *,
        hidden: bool = False,
        checked: bool = False,
    ) -> Job:
        """Stores a new job, and opens an execution if it names a token. Raises InvalidSpec with
        every violation, or AlreadyExists. ``checked``: the caller has just validated it."""
        if not checked:
            check_job(name, spec, one_off=hidden)
        token = self._starting.wanted(spec, None)
        now = self._clock.now()
        job = Job(
            uid=self._ids.uid(),
            project=scope.project,
            region=scope.region,
            name=name,
            spec=self._filled(scope, spec),
            resource_version=version_at(now),
            created_at=now,
            updated_at=now,
            creator=self._actor,
            last_modifier=self._actor,
            hidden=hidden,
        )
        self._store.create_job(job)
        return self._started(job, token)

    def replace(
        self,
        scope: Scope,
        name: str,
        spec: JobSpec,
        *,
        expect_version: int | None = None,
        checked: bool = False,
    ) -> Job:
        """Replaces the writable part; the generation grows only if it differs. A token that the job
        did not name before opens an execution.

        ``expect_version`` is the resource version the caller has seen; Conflict if it is not the
        current one. ``None`` overwrites whatever is there. ``checked`` as for :meth:`create`.
        """
        if not checked:
            check_job(name, spec)
        current = self.get(scope, name)
        if expect_version is not None and expect_version != current.resource_version:
            raise Conflict(
                f"Conflict for resource '{name}': version '{expect_version}' was specified "
                f"but current version is '{current.resource_version}'."
            )
        filled = self._filled(scope, spec)
        if filled == current.spec:
            return current
        token = self._starting.wanted(spec, current.spec)
        now = self._clock.now()
        changed = replace(
            current,
            spec=filled,
            generation=current.generation + 1,
            resource_version=max(version_at(now), current.resource_version + 1),
            updated_at=now,
            last_modifier=self._actor,
        )
        self._store.replace_job(changed, expect_version=current.resource_version)
        return self._started(changed, token)

    def _filled(self, scope: Scope, spec: JobSpec) -> JobSpec:
        """The default service account is the one of the project."""
        if spec.template.template.service_account:
            return fill_defaults(spec)
        account = default_service_account(self._store.project_number(scope.project))
        return fill_defaults(spec, service_account=account)

    def _started(self, job: Job, token: str) -> Job:
        if not token:
            return job
        self._starting.start(job, token)
        return self.get(job.scope, job.name)

    def apply(self, scope: Scope, name: str, spec: JobSpec) -> tuple[Job, str]:
        """Creates or replaces; the word says what happened: created, configured or unchanged."""
        current = self.find(scope, name)
        if current is None:
            try:
                return self.create(scope, name, spec), "created"
            except AlreadyExists:
                current = self.get(scope, name)
        changed = self.replace(scope, name, spec)
        return changed, "unchanged" if changed.generation == current.generation else "configured"

    def find(self, scope: Scope, name: str) -> Job | None:
        try:
            return self._store.get_job(scope, name)
        except NotFound:
            return None

    def get(self, scope: Scope, name: str) -> Job:
        """Raises NotFound; its hint names the nearest job there is."""
        job = self.find(scope, name)
        if job is None:
            raise not_found("job", name, self._store.job_names(scope, near=name))
        return job

    def list(
        self, scope: Scope | None, *, hidden: bool = False, page: Page | None = None
    ) -> Sequence[Job]:
        return self._store.list_jobs(scope, hidden=hidden, page=page)


def check_job(name: str, spec: JobSpec, *, one_off: bool = False) -> None:
    violations = validate_job(name, spec, one_off=one_off)
    if violations:
        raise InvalidSpec(violations)


def version_at(now: float) -> int:
    """A resource version in the contract's older form: 16 digits of microseconds."""
    return int(now * 1_000_000)


def not_found(kind: str, name: str, known: Sequence[str]) -> NotFound:
    guess = nearest(name, known)
    hint = f"Did you mean '{guess}'?" if guess else None
    return NotFound(f"There is no {kind} named '{name}'.", hint=hint)
