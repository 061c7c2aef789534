"""What is stored: jobs, executions, tasks and attempts as frozen values.

All instants are Unix seconds (float, UTC); all durations are seconds; memory is bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from jobrunner.core.spec import ExecutionTemplate, JobSpec, StringMap
from jobrunner.core.states import AttemptState, ExecutionState, StopReason, TaskState

DEFAULT_PROJECT = "local"
DEFAULT_REGION = "us-central1"
DEFAULT_PROJECT_NUMBER = 1000000000001
HIDDEN_LABEL = "jobrunner.dev/ad-hoc"
"""Label of the job behind a ``jobrunner run``; such jobs are left out of listings."""


class Scope(NamedTuple):
    """Where a name lives."""

    project: str = DEFAULT_PROJECT
    region: str = DEFAULT_REGION


class AttemptKey(NamedTuple):
    """Identity of one attempt; also what makes a launch idempotent. ``number`` counts from 0."""

    execution: str
    index: int  # type: ignore[assignment]  # tuple.index is of no use here
    number: int

    def __str__(self) -> str:
        return f"{self.execution}/{self.index}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> AttemptKey:
        execution, index, number = text.rsplit("/", 2)
        return cls(execution, int(index), int(number))


@dataclass(frozen=True, slots=True)
class ExecutionRef:
    """The contract's ``latestCreatedExecution``."""

    name: str
    created_at: float
    completed_at: float | None = None
    state: ExecutionState = ExecutionState.PENDING


@dataclass(frozen=True, slots=True)
class Job:
    uid: str
    project: str
    region: str
    name: str
    spec: JobSpec
    generation: int = 1
    resource_version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0
    creator: str = ""
    last_modifier: str = ""
    execution_count: int = 0
    latest_execution: ExecutionRef | None = None
    hidden: bool = False

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)


class AbortKind:
    """Why an execution stops before all of its tasks were tried."""

    CANCEL = "cancel"
    DELETE = "delete"
    FAIL_FAST = "fail-fast"
    RULE = "retry-rule"
    DEADLINE = "deadline"
    LAUNCH = "launch"


@dataclass(frozen=True, slots=True)
class Abort:
    """A stored wish to end the execution early. ``message`` is for people, ``reason`` a CamelCase
    word of the contract where there is one."""

    kind: str
    at: float
    message: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who drives an execution, and until when. ``epoch`` grows with each new owner and fences
    the earlier ones off."""

    owner: str
    epoch: int
    until: float


@dataclass(frozen=True, slots=True)
class Counters:
    """Tasks by state. ``retried`` counts tasks that were retried at least once."""

    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a job: the frozen template with its overrides applied.

    ``indices`` is ``None`` for all of 0..task_count-1, else the chosen ones of a re-run, whose
    ``env_task_count`` is then the parent's. ``image_digest`` is the pinned image of all attempts.
    ``reason`` and ``message`` are those of the ``Completed`` condition when settled.
    """

    uid: str
    project: str
    region: str
    name: str
    job_uid: str
    job_name: str
    job_generation: int
    template: ExecutionTemplate
    task_count: int
    parallelism: int
    backend: str
    state: ExecutionState = ExecutionState.PENDING
    counters: Counters = field(default_factory=Counters)
    labels: StringMap = field(default_factory=dict)
    annotations: StringMap = field(default_factory=dict)
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    creator: str = ""
    indices: tuple[int, ...] | None = None
    env_task_count: int = 0
    parent: str | None = None
    image_digest: str | None = None
    abort: Abort | None = None
    reason: str = ""
    message: str = ""
    failed_index: int | None = None
    lease: Lease | None = None
    generation: int = 1
    resource_version: int = 1
    hidden: bool = False
    idempotency_key: str | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)

    def task_indices(self) -> range | tuple[int, ...]:
        return range(self.task_count) if self.indices is None else self.indices


@dataclass(frozen=True, slots=True)
class Task:
    """One index of an execution. ``attempts`` is how many were opened; ``counted`` how many of
    those count against the retry budget; ``lost`` how many were lost; ``not_before`` holds a
    retry back until then."""

    execution: str
    index: int
    state: TaskState = TaskState.PENDING
    attempts: int = 0
    counted: int = 0
    lost: int = 0
    not_before: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt used: CPU seconds in user and system mode, peak resident bytes."""

    user: float | None = None
    system: float | None = None
    max_rss: int | None = None


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """What a backend saw at the end of an attempt. At most one of ``code`` and ``signal`` is set.

    ``stopped`` is set when the backend itself enforced an end (a deadline while nobody looked).
    ``output`` is the number of bytes the attempt wrote, both streams together, if known.
    """

    code: int | None = None
    signal: int | None = None
    oom: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    usage: Usage = field(default_factory=Usage)
    stopped: StopReason | None = None
    output: int | None = None

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.oom


@dataclass(frozen=True, slots=True)
class Attempt:
    """One launch of a task. ``handle`` is the backend's token that finds it again."""

    execution: str
    index: int
    number: int
    state: AttemptState
    handle: str | None = None
    stop_reason: StopReason | None = None
    claimed_at: float = 0.0
    launched_at: float | None = None
    stopping_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    oom: bool = False
    reason: str = ""
    message: str = ""
    usage: Usage = field(default_factory=Usage)
    output: int | None = None

    @property
    def key(self) -> AttemptKey:
        return AttemptKey(self.execution, self.index, self.number)


@dataclass(frozen=True, slots=True)
class ExecutionChange:
    """One entry of the feed of life-cycle changes; (``execution``, ``sequence``) is its identity,
    ``position`` its place in the feed."""

    position: int
    execution: str
    sequence: int
    kind: str
    at: float
    data: StringMap = field(default_factory=dict)


# ------------------------------------------------------------------- the control plane's own


@dataclass(frozen=True, slots=True)
class Operation:
    """A long-running operation: what a call promised, to be asked for until it is kept.

    ``kind`` says which call (``run``, ``create``, …), ``target_*`` what it is about
    (``target_kind`` is ``job`` or ``execution``). Without ``done_at`` the state follows from the
    target. ``document`` is JSON text of whoever stored it.
    """

    id: str
    project: str
    region: str
    kind: str
    target_kind: str
    target_uid: str
    target_name: str
    created_at: float
    done_at: float | None = None
    document: str = "{}"

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)


NO_POLICY_ETAG = "ACAB"
"""The etag of a policy that was never set."""


@dataclass(frozen=True, slots=True)
class Policy:
    """An IAM policy as it was given: ``document`` is JSON text without etag and version."""

    document: str
    etag: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: ``hash`` is the SHA-256 of its text, in hexadecimal; the text
    itself is nowhere. ``role`` is the number of a :class:`jobrunner.calls.Role`."""

    id: str
    name: str
    role: int
    hash: str = field(repr=False)
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None
    creator: str = ""

    def lives(self, now: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who called what, and what came of it. ``resource`` is the path of what was called on,
    ``code`` the HTTP status of the answer; the store gives ``position``."""

    position: int
    at: float
    actor: str
    method: str
    resource: str
    code: int
    detail: str = ""
