"""Use cases on executions: open, read, cancel, re-run, delete. One transaction each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from jobrunner.core.indices import format_indices
from jobrunner.core.names import execution_name
from jobrunner.core.options import (
    BACKENDS,
    INDICES,
    OPTION_KEYS,
    RERUN_OF,
    SCRIPTED,
    options_of,
)
from jobrunner.core.outcome import CANCEL_MESSAGE
from jobrunner.core.overrides import apply_overrides
from jobrunner.core.records import (
    HIDDEN_LABEL,
    Abort,
    AbortKind,
    Attempt,
    Execution,
    Job,
    Lease,
    Scope,
    Task,
)
from jobrunner.core.spec import (
    Container,
    EnvVar,
    ExecutionTemplate,
    JobSpec,
    Overrides,
    StringMap,
    TaskTemplate,
)
from jobrunner.core.states import SETTLED_EXECUTIONS, TaskState
from jobrunner.core.validation import validate_overrides
from jobrunner.errors import (
    AlreadyExists,
    InvalidSpec,
    KeySpent,
    NotFound,
    Refused,
    UsageError,
    Violation,
)
from jobrunner.ports import Clock, Ids, LogStore, Page, Store
from jobrunner.service.jobs import Jobs, not_found

LONGEST_KEY = 255
"""Characters of an idempotency key."""

_OPTION_KEYS = frozenset(OPTION_KEYS)


@dataclass(frozen=True, slots=True)
class AdHoc:
    """What ``jobrunner run`` asks for. ``timeout`` in seconds, ``None`` for none. ``env`` is laid
    over the caller's environment, which is used and never stored."""

    argv: tuple[str, ...]
    tasks: int = 1
    parallelism: int | None = None
    max_retries: int = 0
    timeout: float | None = None
    image: str | None = None
    working_dir: str | None = None
    env: tuple[EnvVar, ...] = ()
    limits: StringMap = field(default_factory=dict)
    annotations: StringMap = field(default_factory=dict)
    backend: str | None = None


class Executions:
    """Open, read and change executions. Nothing here starts a process: a runner does."""

    def __init__(
        self,
        store: Store,
        logs: LogStore,
        jobs: Jobs,
        clock: Clock,
        ids: Ids,
        *,
        actor: str,
        leaving: AbstractSet[str] = frozenset(),
        backend: str | None = None,
    ) -> None:
        """``leaving`` are the uids of jobs that are being removed: nothing is opened for them.
        ``backend`` is where everything runs for which no backend is named."""
        self._store = store
        self._logs = logs
        self._jobs = jobs
        self._clock = clock
        self._ids = ids
        self._actor = actor
        self._leaving = leaving
        self._backend = backend

    # ------------------------------------------------------------ open

    def run(
        self,
        scope: Scope,
        job_name: str,
        overrides: Overrides | None = None,
        *,
        backend: str | None = None,
        idempotency_key: str | None = None,
        token: str | None = None,
        lease: Lease | None = None,
    ) -> Execution:
        """Opens an execution of a job. Raises NotFound, InvalidSpec, or Refused for a backend that
        cannot run this template. With a key that this job has already seen, the earlier execution
        is returned. ``token`` makes the name ``{job}-{token}``. With a ``lease`` it is the caller's
        from its first moment on, and no runner can come between."""
        job = self._jobs.get(scope, job_name)
        template = job.spec.template
        if overrides is not None:
            violations = validate_overrides(overrides, template)
            if violations:
                raise InvalidSpec(violations)
            template = apply_overrides(template, overrides)
        return self._open(
            job,
            template,
            backend=choose_backend(job.spec, template, backend or self._backend),
            idempotency_key=idempotency_key,
            token=token,
            lease=lease,
        )

    def open_by_token(self, job: Job, token: str) -> Execution:
        """Opens the execution ``{job}-{token}`` of a job that has just been stored."""
        template = job.spec.template
        backend = choose_backend(job.spec, template, self._backend)
        return self._open(job, template, backend=backend, token=token)

    def run_ad_hoc(self, scope: Scope, order: AdHoc, *, lease: Lease | None = None) -> Execution:
        """Opens a one-off execution under a hidden job of its own; ``lease`` as for :meth:`run`."""
        container = Container(
            image=order.image,
            command=() if order.image else order.argv[:1],
            args=order.argv if order.image else order.argv[1:],
            env=order.env,
            limits=dict(order.limits),
            working_dir=order.working_dir,
        )
        spec = JobSpec(
            labels={HIDDEN_LABEL: "true"},
            template=ExecutionTemplate(
                task_count=order.tasks,
                parallelism=order.parallelism,
                annotations=dict(order.annotations),
                template=TaskTemplate(
                    containers=(container,), max_retries=order.max_retries, timeout=order.timeout
                ),
            ),
        )
        choose_backend(spec, spec.template, order.backend)
        job = self._fresh_job(scope, spec)
        template = job.spec.template
        if order.timeout is None:
            template = replace(template, template=replace(template.template, timeout=None))
        backend = choose_backend(spec, template, order.backend)
        return self._open(job, template, backend=backend, lease=lease)

    def _fresh_job(self, scope: Scope, spec: JobSpec) -> Job:
        for _ in range(20):
            try:
                return self._jobs.create(scope, f"run-{self._ids.suffix()}", spec, hidden=True)
            except AlreadyExists:
                continue
        raise AlreadyExists("No free name for the run was found in 20 tries.")

    def _open(
        self,
        job: Job,
        template: ExecutionTemplate,
        *,
        backend: str,
        idempotency_key: str | None = None,
        token: str | None = None,
        lease: Lease | None = None,
        indices: tuple[int, ...] | None = None,
        parent: Execution | None = None,
    ) -> Execution:
        if job.uid in self._leaving:
            raise Refused(f"Job '{job.name}' is being deleted.")
        if idempotency_key is not None:
            check_key(idempotency_key)
        now = self._clock.now()
        count = len(indices) if indices is not None else (template.task_count or 1)
        annotations = {**job.spec.annotations, **template.annotations}
        if parent is not None and indices is not None:
            annotations[RERUN_OF] = parent.name
            annotations[INDICES] = format_indices(indices)
        execution = Execution(
            uid=self._ids.uid(),
            project=job.project,
            region=job.region,
            name=execution_name(job.name, token or self._ids.suffix()),
            job_uid=job.uid,
            job_name=job.name,
            job_generation=job.generation,
            template=template,
            task_count=count,
            parallelism=min(template.parallelism or count, count),
            backend=backend,
            labels={**job.spec.labels, **template.labels},
            annotations=annotations,
            created_at=now,
            creator=self._actor,
            indices=indices,
            env_task_count=parent.env_task_count if parent else count,
            parent=parent.name if parent else None,
            image_digest=parent.image_digest if parent else None,
            hidden=job.hidden,
            resource_version=int(now * 1_000_000),
            idempotency_key=idempotency_key,
            lease=lease,
        )
        for _ in range(20):
            try:
                return self._store.create_execution(execution)
            except KeySpent:
                raise
            except AlreadyExists:
                if token:
                    raise
                name = execution_name(job.name, self._ids.suffix())
                execution = replace(execution, name=name)
        raise AlreadyExists(f"No free name for an execution of '{job.name}' was found in 20 tries.")

    # ------------------------------------------------------------ re-run

    def rerun(
        self,
        scope: Scope,
        name: str,
        *,
        indices: Sequence[int] | None = None,
        idempotency_key: str | None = None,
        lease: Lease | None = None,
    ) -> Execution:
        """Opens a child execution with the failed tasks of ``name`` (or exactly ``indices``): same
        template, same indices, same image digest, linked both ways. Key and ``lease`` as for
        :meth:`run`.

        Raises Refused while the parent still runs or when nothing failed, InvalidSpec for an index
        that the parent does not have.
        """
        parent = self.get(scope, name)
        if parent.state not in SETTLED_EXECUTIONS:
            raise Refused(
                f"Execution '{name}' has not ended yet.",
                hint=f"Wait for it with: jobrunner executions wait {name}",
            )
        if indices is None:
            unfinished = (TaskState.FAILED, TaskState.CANCELLED, TaskState.ABANDONED)
            chosen = tuple(
                task.index
                for task in self._store.list_tasks(
                    parent.uid, states=unfinished, page=Page(limit=parent.task_count)
                )
            )
            if not chosen:
                raise Refused(f"No task of execution '{name}' failed: there is nothing to re-run.")
        else:
            chosen = tuple(sorted(set(indices)))
            has = parent.task_indices()
            outside = [index for index in chosen if index not in has]
            if outside:
                raise InvalidSpec(
                    [
                        Violation(
                            "--index",
                            f"{format_indices(tuple(outside))} is not an index of execution "
                            f"'{name}', which has {format_indices(tuple(has))}",
                        )
                    ]
                )
        job = self._jobs.find(scope, parent.job_name)
        if job is None or job.uid != parent.job_uid:
            raise NotFound(f"The job '{parent.job_name}' of execution '{name}' is gone.")
        return self._open(
            job,
            parent.template,
            backend=parent.backend,
            idempotency_key=idempotency_key,
            lease=lease,
            indices=chosen,
            parent=parent,
        )

    def children(self, execution: Execution) -> Sequence[Execution]:
        """Re-runs of ``execution``, newest first."""
        return self._store.list_executions(execution.scope, parent=execution.name, hidden=True)

    # ------------------------------------------------------------ read

    def get(self, scope: Scope, name: str) -> Execution:
        try:
            return self._store.get_execution(scope, name)
        except NotFound:
            raise not_found(
                "execution", name, self._store.execution_names(scope, near=name)
            ) from None

    def list(
        self,
        scope: Scope | None,
        *,
        job: str | None = None,
        hidden: bool = False,
        page: Page | None = None,
    ) -> Sequence[Execution]:
        if job is not None and scope is not None:
            self._jobs.get(scope, job)
        return self._store.list_executions(scope, job=job, hidden=hidden, page=page)

    def tasks(
        self,
        execution: Execution,
        *,
        states: Iterable[TaskState] | None = None,
        page: Page | None = None,
    ) -> Sequence[Task]:
        return self._store.list_tasks(execution.uid, states=states, page=page)

    def task(self, execution: Execution, index: int) -> Task:
        try:
            return self._store.get_task(execution.uid, index)
        except NotFound:
            has = format_indices(tuple(execution.task_indices()))
            raise NotFound(
                f"Execution '{execution.name}' has no task {index}.", hint=f"It has {has}."
            ) from None

    def attempts(self, execution: Execution, *, index: int | None = None) -> Sequence[Attempt]:
        return self._store.list_attempts(execution.uid, index=index)

    # ------------------------------------------------------------ change

    def cancel(self, scope: Scope, name: str) -> Execution:
        """Stores the wish; whoever drives the execution carries it out. Raises Refused if it has
        ended already, with the contract's words."""
        return self._abort(scope, name, AbortKind.CANCEL, CANCEL_MESSAGE)

    def _abort(self, scope: Scope, name: str, kind: str, message: str) -> Execution:
        execution = self.get(scope, name)
        if execution.state in SETTLED_EXECUTIONS:
            raise Refused(f"Execution '{name}' cannot be cancelled because it is not running.")
        return self._store.request_abort(
            execution.uid, Abort(kind=kind, at=self._clock.now(), message=message)
        )

    def delete(self, scope: Scope, name: str) -> Execution:
        """Removes an ended execution with its tasks and logs. Refused while it runs."""
        execution = self.get(scope, name)
        if execution.state not in SETTLED_EXECUTIONS:
            raise Refused(
                f"Execution '{name}' is still running.",
                hint=f"Cancel it first: jobrunner executions cancel {name}",
            )
        self._store.delete_execution(execution.uid)
        self._logs.delete(execution.uid)
        return execution

    def delete_job(self, scope: Scope, name: str) -> Job:
        """Removes a job with its executions and their logs. Refused while one of them runs."""
        self._jobs.get(scope, name)
        executions = self._store.list_executions(
            scope, job=name, hidden=True, page=Page(limit=1_000_000)
        )
        running = [e.name for e in executions if e.state not in SETTLED_EXECUTIONS]
        if running:
            raise Refused(
                f"Job '{name}' has executions that have not ended: {', '.join(running)}.",
                hint=f"Cancel them first: jobrunner executions cancel {running[0]}",
            )
        job = self._store.delete_job(scope, name)
        for execution in executions:
            self._logs.delete(execution.uid)
        return job


def check_key(key: str) -> None:
    """Raises InvalidSpec for what is no idempotency key."""
    if not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        said = f"'{key}'" if len(key) <= LONGEST_KEY else f"one of {len(key)} characters"
        rule = f"is not an idempotency key; allowed: 1 to {LONGEST_KEY} printable characters"
        raise InvalidSpec([Violation("idempotencyKey", f"{said} {rule}")])


def choose_backend(spec: JobSpec, template: ExecutionTemplate, wanted: str | None) -> str:
    """Docker with an image, process without; a flag or ``jobrunner.dev/backend`` overrides.

    Raises UsageError for an unknown backend and InvalidSpec for a template it cannot run.
    """
    annotations = {**spec.annotations, **template.annotations}
    chosen = None
    if not _OPTION_KEYS.isdisjoint(annotations):
        chosen = options_of(annotations).backend
    container = template.template.containers[0]
    name = wanted or chosen or ("docker" if container.image else "process")
    if name not in (*BACKENDS, SCRIPTED):
        raise UsageError(f"--backend: '{name}' is not a backend; allowed: {', '.join(BACKENDS)}")
    where = "spec.template.spec.template.spec.containers[0]"
    if name == "docker" and not container.image:
        raise InvalidSpec([Violation(f"{where}.image", "the docker backend needs an image")])
    if name == "process" and not container.command:
        raise InvalidSpec(
            [Violation(f"{where}.command", "the process backend needs a command to run")]
        )
    return name
