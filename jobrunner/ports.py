"""What the rules and loops need from the rest of the world, promised in prose.

Every implementation of a port is held to one body of tests (``tests/contract``).
Instants are Unix seconds (float, UTC), durations seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from jobrunner.core.records import (
    Abort,
    Attempt,
    AttemptKey,
    AuditEntry,
    Execution,
    ExecutionChange,
    ExitStatus,
    Job,
    Operation,
    Policy,
    Scope,
    Task,
    Token,
)
from jobrunner.core.states import AttemptState, TaskState

T = TypeVar("T")
Item = TypeVar("Item")

# ---------------------------------------------------------------- time and names


class MachineClock(Protocol):
    """Time of the machine, which nobody moves: leases, heartbeats, tokens, keys, the audit log,
    patience, deadlines of real processes and calls. ``now`` is wall time (Unix seconds);
    ``monotonic`` never jumps."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


class Worker(Protocol):
    """Somebody who acts by a :class:`Clock`."""

    def look(self) -> None:
        """Do now what there is to do; there may be news."""
        ...

    def doing(self) -> Sequence[str]:
        """What is not finished and does not wait for the clock, each in words for people: a call
        on the wire, a process that runs, a write that is due. Empty: without news from elsewhere
        nothing happens before the clock moves."""
        ...


RANK_SENDS, RANK_BEGINS = 1, 2
"""For ``Clock.wake``: who sends what waits, and who opens what is due. Everything else is 0."""


class Clock(Protocol):
    """Time of what is planned and recorded: schedules, back-off, retention, scripted durations, and
    the instants in records. On a ``virtual`` one time stands still until somebody moves it. What
    must not stand still with it goes by a :class:`MachineClock`; neither can be taken for the
    other."""

    @property
    def virtual(self) -> bool: ...

    def now(self) -> float:
        """Unix seconds."""
        ...

    def wake(self, at: float, ring: Callable[[], None], *, rank: int = 0) -> Callable[[], None]:
        """``ring`` is called once in the running loop, when it is ``at`` or at once if that has
        passed, and by no other way than this. Returns what takes it back. Of what is due at one
        instant of a clock that is moved, what has a higher ``rank`` rings once all of the lower
        ones has settled: an end is known before something begins because of the hour."""
        ...

    def join(self, worker: Worker, *, told: bool = False) -> None:
        """Whoever moves the clock waits at each instant until ``worker`` has nothing to do.
        ``told``: it hears of whatever this process does, and need not be asked to look again."""
        ...

    def rested(self) -> None:
        """A worker has done what there was to do; maybe it was the last one."""
        ...


class Ids(Protocol):
    """Names that nobody has used before."""

    def uid(self) -> str: ...

    def suffix(self) -> str:
        """Five characters for ``{job}-{suffix}``, in the contract's alphabet."""
        ...


# ---------------------------------------------------------------- backends


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that a container sees, read-only. ``content`` never reaches a log or a label."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o444


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """An in-memory directory of a container; ``size`` in bytes, ``None``: no limit of its own."""

    path: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Bind:
    """A directory or file of the machine that a container sees."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much of an attempt's output is kept, both streams together: the first ``head`` bytes
    and at least the last ``tail`` bytes; what lies between is dropped and counted."""

    head: int = 16 * 1024 * 1024
    tail: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LaunchTemplate:
    """What all attempts of one execution share. Backends may cache by ``execution``.

    Without ``image``: ``command + args`` is the argv of a process. With: ``command`` replaces the
    entrypoint and ``args`` the image's command; a ``command`` without ``args`` drops the image's
    command. ``env`` is complete except for what each attempt adds.
    """

    execution: str
    execution_name: str
    job_name: str
    project: str
    region: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    working_dir: str | None = None
    image: str | None = None
    cpus: float | None = None
    memory: int | None = None
    secret_files: tuple[SecretFile, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    binds: tuple[Bind, ...] = ()
    network: str | None = None
    init: bool = False
    timeout: float | None = None
    grace: float = 10.0
    log_dir: str = ""
    log_limits: LogLimits = field(default_factory=LogLimits)


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """One launch. ``env`` is laid over the template's. ``lease`` is the epoch of the execution's
    lease; ``log`` is the path of the attempt's log without its suffix
    (:mod:`jobrunner.lib.framelog`)."""

    key: AttemptKey
    template: LaunchTemplate
    lease: int
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    log: str = ""


@dataclass(frozen=True, slots=True)
class Launched:
    """Answer to a launch. ``handle`` finds the attempt again, from any later runner."""

    handle: str
    at: float


@dataclass(frozen=True, slots=True)
class Running:
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Vanished:
    """The backend cannot say how the attempt ended, and it does not run any more."""

    detail: str = ""


Sighting = Running | ExitStatus | Vanished


@dataclass(frozen=True, slots=True)
class Found:
    """Something that bears our mark. ``sighting`` is Vanished when it was surely or possibly
    started and nobody knows its end (its leftovers are dead by then)."""

    key: AttemptKey
    handle: str
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Health:
    """``ok``: can attempts be launched now; ``detail``: what was seen; ``hint``: what to do."""

    ok: bool
    detail: str
    hint: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


Progress = Callable[[str], None]


class Backend(Protocol):
    """Where attempts run. Knows attempts; never jobs, retries or the store.

    A backend is opened by its first use, belongs to one event loop, and is closed once.
    """

    name: str

    async def probe(self) -> Health:
        """Says what is there. Never raises."""
        ...

    async def prepare(self, image: str | None, progress: Progress) -> str | None:
        """Makes ``image`` available and returns the reference to pin for the whole execution (a
        digest, or an image id where there is none). Raises LaunchFailed(permanent=…) with the
        contract's reason (``ContainerMissing``, ``ContainerPermissionDenied``, …), and BackendFault
        where nothing can be said about it now."""
        ...

    async def launch(self, spec: LaunchSpec) -> Launched:
        """Starts the attempt, once per ``spec.key``: asked again it answers with the same handle.
        Raises LaunchFailed, which is an end of the attempt, and BackendFault where nothing can be
        said or done now; then it may be asked again. A smaller lease than one already seen for the
        execution is refused."""
        ...

    async def wait(self, handle: str) -> ExitStatus:
        """Returns when the attempt has ended, its whole tree is gone and its log is complete. May
        be cancelled and called again, by this runner or a later one. Raises AttemptVanished."""
        ...

    async def stop(self, handle: str, *, grace: float) -> None:
        """TERM to the whole tree, ``grace`` seconds, KILL to the whole tree. Returns at once after
        the order is placed; the end is seen by ``wait``. Idempotent; a shorter grace wins."""
        ...

    async def inspect(self, handle: str) -> Sighting: ...

    async def discard(self, handle: str) -> None:
        """Removes what remains of an ended attempt, its exit record included. Called after the
        end is stored durably. Idempotent."""
        ...

    async def fence(self, execution: str, lease: int) -> None:
        """From now on every launch for ``execution`` under a smaller lease is refused."""
        ...

    def discover(self) -> AsyncIterator[Found]:
        """Everything of this home that bears our mark, running or ended, known or orphan."""
        ...

    async def close(self) -> None:
        """Lets go without touching what runs."""
        ...


# ---------------------------------------------------------------- secrets


class Secrets(Protocol):
    def read(self, secret: str, version: str) -> bytes:
        """The content of a version (``latest`` or a number). Raises NotFound."""
        ...


# ---------------------------------------------------------------- store


@dataclass(frozen=True, slots=True)
class Move:
    """A guarded transition of one attempt: from the stored state ``expect`` to ``attempt``."""

    expect: AttemptState
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Turn:
    """All writes of one turn of the executor's loop for one execution; one transaction.

    ``execution`` is the new row (its lease names the writer); ``opened`` are new attempts in
    STARTING; ``tasks`` are new values of task rows; ``abandoned`` sets every task that is still
    Pending, with no live attempt, to that state in one statement; ``changes`` are (kind, data)
    entries for the feed.
    """

    execution: Execution
    opened: Sequence[Attempt] = ()
    moved: Sequence[Move] = ()
    tasks: Sequence[Task] = ()
    abandoned: TaskState | None = None
    at: float = 0.0
    changes: Sequence[tuple[str, Mapping[str, str]]] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything a runner needs to carry on with an execution."""

    execution: Execution
    tasks: Sequence[Task]
    live: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Page:
    """``after`` is the last item's position of the page before (opaque), ``limit`` at most."""

    limit: int = 100
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: ended executions per job, seconds, bytes of logs. ``max_age`` is for
    executions, the feed and operations, ``key_age`` for idempotency keys, ``audit_age`` for the
    audit log."""

    executions_per_job: int = 1000
    max_age: float = 30 * 86400.0
    max_log_bytes: int = 10 * 1024**3
    key_age: float = 31 * 86400.0
    audit_age: float = 400 * 86400.0


class Store(Protocol):
    """Durable state. Each method is one transaction and blocks; values in, values out.

    Names are unique per (project, region). NotFound, AlreadyExists, Conflict and StaleWrite say
    what is wrong; StoreFault is for the database itself.
    """

    # jobs
    def create_job(self, job: Job) -> None:
        """Raises AlreadyExists."""
        ...

    def replace_job(self, job: Job, *, expect_version: int) -> None:
        """Writes the row if its resource version is still ``expect_version``; else Conflict."""
        ...

    def get_job(self, scope: Scope, name: str) -> Job: ...

    def list_jobs(
        self, scope: Scope | None, *, hidden: bool = False, page: Page | None = None
    ) -> Sequence[Job]:
        """By project, region and name. ``None`` means every scope. ``page.after`` is the name;
        with every scope it is ``PROJECT/REGION/NAME``."""
        ...

    def regions(self, project: str) -> Sequence[str]:
        """Those in which the project has jobs, in order."""
        ...

    def job_names(self, scope: Scope, *, near: str | None = None) -> Sequence[str]:
        """In order, without the hidden ones. With ``near`` only the neighbours of that name: all
        of them if they are few, and a bounded number however many there are."""
        ...

    def delete_job(self, scope: Scope, name: str) -> Job:
        """Removes the job, its policy and all its executions; returns what it was."""
        ...

    # executions
    def create_execution(self, execution: Execution) -> Execution:
        """Writes the execution with all its tasks and its lease if it has one, keeps the job's
        count and latest execution, appends ``created`` to the feed. AlreadyExists if the name is
        taken.

        With an idempotency key that was used for a job of this name the earlier execution is
        returned and nothing is written; if that one has been removed, AlreadyExists says so. Keys
        outlive execution and job (:meth:`prune_run_keys`): nothing is run twice for one key.
        """
        ...

    def get_execution(self, scope: Scope, name: str) -> Execution: ...

    def get_execution_by_uid(self, uid: str) -> Execution: ...

    def list_executions(
        self,
        scope: Scope | None,
        *,
        job: str | None = None,
        parent: str | None = None,
        hidden: bool = False,
        ended_after: float | None = None,
        page: Page | None = None,
    ) -> Sequence[Execution]:
        """Newest first. ``page.after`` is an execution's uid. ``ended_after`` leaves out those that
        had ended by then; infinity leaves those that have not ended. ``parent`` is the name of the
        execution whose re-runs are wanted."""
        ...

    def execution_names(self, scope: Scope, *, near: str | None = None) -> Sequence[str]:
        """In order; ``near`` as with jobs."""
        ...

    def delete_execution(self, uid: str) -> None:
        """Removes the execution with its tasks and attempts, and a hidden job with its last
        execution. Its changes stay in the feed."""
        ...

    def request_abort(self, uid: str, abort: Abort) -> Execution:
        """Stores the wish if there is none yet; the first one wins. Refused if already settled."""
        ...

    def aborts_for(self, owner: str) -> Sequence[tuple[str, Abort]]:
        """Wishes on unsettled executions whose lease ``owner`` holds; cheap enough to poll."""
        ...

    # driving
    def claim(self, uid: str, owner: str, *, now: float, ttl: float) -> Execution:
        """Takes the lease under the next epoch, if it is free, expired or already ``owner``'s.
        Refused (naming the holder) if another's lease is alive, or if the execution is settled."""
        ...

    def claimable(self, *, now: float, limit: int = 100) -> Sequence[str]:
        """Uids of unsettled executions whose lease is free or expired, oldest first. Hidden ones
        are left out: nobody but their own command line drives them."""
        ...

    def wished(self, *, now: float, limit: int = 100) -> Sequence[str]:
        """As ``claimable``, of those that are to be ended, hidden ones too: whoever serves sees to
        that."""
        ...

    def heartbeat(self, owner: str, *, now: float, ttl: float) -> int:
        """Prolongs every lease that ``owner`` holds on unsettled executions; returns how many."""
        ...

    def release(self, uid: str, owner: str) -> None:
        """Gives the lease up; nothing happens if it is somebody else's."""
        ...

    def load(self, uid: str) -> Loaded: ...

    def record(self, turn: Turn) -> None:
        """The only writer of states. Checks that ``turn.execution.lease`` (owner and epoch) is
        still the stored one and that every move finds its expected state; otherwise StaleWrite,
        and nothing is written. An abort wish stored meanwhile is kept."""
        ...

    # reads
    def list_tasks(
        self,
        execution: str,
        *,
        states: Iterable[TaskState] | None = None,
        page: Page | None = None,
    ) -> Sequence[Task]:
        """By index. ``page.after`` is the index as text."""
        ...

    def get_task(self, execution: str, index: int) -> Task: ...

    def list_attempts(self, execution: str, *, index: int | None = None) -> Sequence[Attempt]:
        """By index and number."""
        ...

    def changes(self, after: int, *, limit: int = 1000) -> Sequence[ExecutionChange]:
        """Entries of the feed whose position is above ``after``, in order of position. Positions
        become visible in their order, so a reader that remembers the last one misses none."""
        ...

    def last_change(self) -> int:
        """The position of the newest entry of the feed, also if that is gone; 0 before the
        first."""
        ...

    def change(self, execution: str, sequence: int) -> ExecutionChange | None:
        """One entry by its identity; ``None`` if there is none, or if it is gone."""
        ...

    def project_number(self, project: str) -> int:
        """The number that stands for a project id; given out at first asking, and kept."""
        ...

    def project_of(self, number: int) -> str:
        """The project that a number was given out for. Raises NotFound."""
        ...

    # operations
    def put_operation(self, operation: Operation) -> None:
        """Writes it, or writes it anew if its id is known."""
        ...

    def get_operation(self, scope: Scope, id: str) -> Operation: ...

    def list_operations(self, scope: Scope, *, page: Page | None = None) -> Sequence[Operation]:
        """Newest first. ``page.after`` is an operation's id."""
        ...

    def delete_operation(self, scope: Scope, id: str) -> None:
        """Forgets it; what it is about goes on. Raises NotFound."""
        ...

    def prune_operations(self, before: float) -> int:
        """Removes those done before; of those without ``done_at`` the ones created before whose
        target is not an execution that still runs or has ended since."""
        ...

    # policies
    def get_policy(self, scope: Scope, resource: str) -> Policy | None:
        """``resource`` is ``jobs/NAME``. ``None`` if none was ever set. Raises NotFound without
        the job."""
        ...

    def set_policy(
        self, scope: Scope, resource: str, policy: Policy, *, expect_etag: str | None
    ) -> Policy:
        """Stores and returns it; it goes with its job. Raises Conflict if the stored one has
        another etag than ``expect_etag`` (``NO_POLICY_ETAG`` where there is none); ``None``
        overwrites. Raises NotFound without the job."""
        ...

    # tokens
    def create_token(self, token: Token) -> None:
        """Raises AlreadyExists if a living one has the name; a dead one gives it up."""
        ...

    def list_tokens(self) -> Sequence[Token]:
        """All, the revoked and expired ones too, by name and age."""
        ...

    def find_token(self, hash: str) -> Token | None:
        """By its hash, whether it lives or not."""
        ...

    def revoke_token(self, name: str, *, at: float) -> Token:
        """Raises NotFound if none of that name lives."""
        ...

    def touch_token(self, id: str, *, at: float) -> None:
        """Remembers when it was used last; callers do so now and then, not for every call."""
        ...

    # audit log
    def append_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Appends them in order, whatever their positions say."""
        ...

    def list_audit(self, *, page: Page | None = None) -> Sequence[AuditEntry]:
        """Newest first. ``page.after`` is a position as text."""
        ...

    def audit_after(self, after: int, *, limit: int = 1000) -> Sequence[AuditEntry]:
        """Entries whose position is above ``after``, in order of position; as with
        :meth:`changes`, a reader that remembers the last one misses none."""
        ...

    def last_audit(self) -> int:
        """The position of the newest entry, also if that is gone; 0 before the first."""
        ...

    def prune_audit(self, before: float) -> int: ...

    # keeping house
    def prune_run_keys(self, before: float) -> int:
        """Removes idempotency keys older than ``before`` whose execution is gone."""
        ...

    def prune_changes(self, before: float) -> int:
        """Removes entries of the feed older than ``before``; returns how many. Positions are
        never used again."""
        ...

    def expired(self, retention: Retention, *, now: float) -> Sequence[Execution]:
        """Settled executions that age or count says may go, oldest first."""
        ...

    def settled_oldest_first(self, *, limit: int) -> Sequence[Execution]: ...

    def facts(self) -> Mapping[str, str]:
        """Kind, version, size and place of the database, for people; no secrets."""
        ...

    def group(self, works: Sequence[Callable[[], object]]) -> Sequence[object]:
        """Calls each of ``works``, which use this store as ever; all they write is one transaction,
        durable when this returns. The answers come in order. A work that raises an Exception, of
        ours or a bug, has written nothing, and the exception is its answer; the others stand.
        Raises StoreFault if the whole could not be made durable: then nothing was written. A work
        may be called again after a collision with another process (PostgreSQL), so it has no
        effect but on the store. Inside a work each method of the store is undone by itself if it
        raises, so a work may catch what it expects and go on. What the works append to the feed is
        seen when the group is durable, not before. Works of one kind of :class:`Joined` that
        follow each other are done by one call."""
        ...

    def begin_group(
        self, works: Sequence[Callable[[], object]]
    ) -> tuple[Sequence[object], Callable[[], None] | None]:
        """As :meth:`group`, but the answers are not durable before the second value was called,
        once and in any thread. It waits for the disk, and raises StoreFault if nothing was written.
        Until it returns everybody else who uses this store waits. ``None`` if it is durable
        already."""
        ...

    def close(self) -> None: ...


# ---------------------------------------------------------------- the runner of a server


@dataclass(frozen=True, slots=True)
class Joined(Generic[Item, T]):
    """A work on ``item`` that costs less together with others of its kind. ``each(items)`` gives as
    many answers, and does for all of them what it would do for one after the other. If it raises
    for several, what it wrote is undone, and it is called for each of them alone: so what goes
    wrong with one item is the trouble of that one, as with other works."""

    each: Callable[[Sequence[Item]], Sequence[T]]
    item: Item

    def __call__(self) -> T:
        [answer] = self.each([self.item])
        return answer


class Commit(Protocol):
    """Group commit: the works of one turn of the event loop share a transaction."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """Calls ``work`` in this thread and returns its answer when what it wrote is durable;
        raises what it raised. See :meth:`Store.group`."""
        ...


class Runner(Protocol):
    """What the faces of a server ask of the loop that drives executions. Nothing here waits for a
    process to start."""

    def look(self) -> None:
        """Something is to be driven or stopped: an execution was opened, a wish was stored."""
        ...

    async def settled(self, uid: str, *, within: float | None) -> Execution:
        """The execution once it has ended, whoever drives it, or as it is after ``within``
        seconds. Raises NotFound if it is not there or has been removed meanwhile."""
        ...

    def accepts(self) -> bool:
        """Whether new attempts are started: false while the server drains."""
        ...

    def trouble(self, uid: str) -> str | None:
        """Why the execution cannot be driven now, in a sentence; it is tried again by itself."""
        ...


# ---------------------------------------------------------------- logs


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Bytes as they were read from one stream (1 standard output, 2 standard error) at ``at``.
    ``dropped`` > 0 marks a gap of that many bytes before this chunk (``data`` may be empty)."""

    at: float
    stream: int
    data: bytes
    dropped: int = 0


class LogReader(Protocol):
    """Reads one attempt's log step by step; holds no file open between two calls."""

    def read(self) -> Iterator[LogChunk]:
        """Everything complete that was not yielded before; nothing for a log without output."""
        ...

    def place(self) -> str:
        """Where reading stands, for a later reader: after the last chunk that was yielded, even if
        ``read`` was left before its end. Raises nothing; short; of this log only."""
        ...


class LogStore(Protocol):
    """Output of attempts, by attempt. Exact order within a stream."""

    def path_for(self, key: AttemptKey) -> str:
        """Where a backend writes the attempt's log; the directory exists when this returns."""
        ...

    def dir_for(self, execution: str) -> str: ...

    def chunks(self, key: AttemptKey) -> Iterator[LogChunk]:
        """What is there now, from the beginning."""
        ...

    def reader(self, key: AttemptKey, place: str = "") -> LogReader:
        """For following an attempt that still writes; from the beginning, or from ``place``."""
        ...

    def expect(self, keys: Sequence[AttemptKey]) -> None:
        """These are read next, in this order: a hint for whoever reads from afar. What was read
        ahead before is forgotten, so what is read from now on is not older than this."""
        ...

    def tail(self, key: AttemptKey, size: int) -> bytes:
        """At least the last ``size`` bytes of output, both streams in order of arrival."""
        ...

    def delete(self, execution: str) -> None: ...

    def size(self, execution: str) -> int: ...

    def total_size(self) -> int:
        """Bytes on disk of all executions together."""
        ...
