"""What the trigger layer needs from the world, promised in prose.

Instants are Unix seconds (float, UTC), durations seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

from jobrunner.core.records import Policy, Scope
from jobrunner.ports import Page
from triggers.core.queues import HttpOverride, Queue
from triggers.core.records import (
    Delivery,
    DeliveryAttempt,
    HttpTarget,
    JobTarget,
    Occurrence,
    OccurrenceKey,
    PubsubTarget,
    QueueRetry,
    Schedule,
    SourceKind,
    Target,
    Unreadable,
)
from triggers.core.states import DeliveryEvent, DeliveryState, OccurrenceState
from triggers.core.verdict import Outcome


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one attempt. ``excerpt`` is the beginning of the answer. ``execution`` is the
    uid of the execution that a job target has opened, which may go on after this."""

    outcome: Outcome
    excerpt: bytes = b""
    execution: str | None = None


class Sender(Protocol):
    """Makes the calls of one kind of target."""

    async def send(self, delivery: Delivery, number: int) -> Sent:
        """Makes one attempt, the ``number``-th (from 1), within the target's deadline. What goes
        wrong on the way is an outcome, never an exception. May be cancelled; then nobody knows how
        it ended. A job target is opened at most once per ``delivery.run_try``, however often this
        is called; for one that is acknowledged at success the outcome is how the run stands now."""
        ...

    async def close(self) -> None: ...


# ---------------------------------------------------------------- the store of deliveries


def place_of(target: Target) -> str:
    """What is called, for bounds and filters: ``host:port`` of a URL, ``job:PROJECT/REGION/NAME``,
    or the full name of a topic."""
    match target:
        case JobTarget(job, project, region):
            return f"job:{project}/{region}/{job}"
        case PubsubTarget(topic):
            return topic
        case HttpTarget(url):
            return _place_of_url(url)


@lru_cache(maxsize=4096)
def _place_of_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port or (443 if parts.scheme.lower() == 'https' else 80)}"


class Pace(StrEnum):
    """What an answer asks of its queue as a whole."""

    SLOWER = "slower"
    FASTER = "faster"


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a delivery: ``before`` is how it was read, ``after`` how it is to be, ``event``
    the cell of the table between them, ``attempt`` the record of the attempt that ended by it.
    ``pace`` is for the gate of the queue, if it comes from one."""

    before: Delivery
    event: DeliveryEvent
    after: Delivery
    attempt: DeliveryAttempt | None = None
    pace: Pace | None = None


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """What deliveries are asked for; ``None`` is any. ``target`` is the place of a target as
    :func:`place_of` writes it. ``created_from`` is inclusive,
    ``created_before`` is not."""

    project: str | None = None
    region: str | None = None
    states: frozenset[DeliveryState] | None = None
    source: SourceKind | None = None
    source_name: str | None = None
    target: str | None = None
    created_from: float | None = None
    created_before: float | None = None


@dataclass(frozen=True, slots=True)
class Damaged:
    """A delivery whose row cannot be read, with what of it is plain text; ``why`` says what is
    wrong."""

    uid: str
    project: str
    region: str
    source: str
    source_name: str
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class Claims:
    """``taken`` are deliveries that are SENDING now, held by whoever asked. ``next_at`` is when the
    next one is due that is not yet, or may go by the rate of its queue; ``None`` if there is none.
    ``overrides`` are what the queues of those that are taken say for all of their tasks, by uid."""

    taken: Sequence[Delivery] = ()
    next_at: float | None = None
    overrides: Mapping[str, HttpOverride] = field(default_factory=dict)


Draft = tuple[object, ...]
"""A value as the store that made it writes it, all but when it was opened."""


@dataclass(frozen=True, slots=True)
class Tries:
    """The attempts of a delivery in short. ``answered`` is how many of them were."""

    first: DeliveryAttempt
    last: DeliveryAttempt
    answered: int


class DeliveryStore(Protocol):
    """Keeps deliveries and their attempts. Each method is one transaction, or a part of the one
    that is open (:meth:`jobrunner.ports.Store.group`). Raises StoreFault where the database fails.

    A *lane* is one source, by project, region, kind and name. Deliveries of a lane with the same
    ``order_key`` go one after the other: a later one waits until the earlier one has settled.
    """

    def open(self, delivery: Delivery) -> Delivery:
        """Stores a PENDING delivery. Of those with the same lane and ``key``, and of those with the
        same ``parent``, the first is stored; the others get it as their answer."""
        ...

    def open_each(self, wanted: Sequence[Delivery]) -> Sequence[Delivery]:
        """What :meth:`open` does and answers for each of them, in their order, by as few statements
        as it can. If it raises, none is stored."""
        ...

    def draft(self, delivery: Delivery) -> Draft:
        """What :meth:`open_all` wants of a PENDING one without an order key or a queue."""
        ...

    def open_all(self, drafts: Sequence[Draft], now: float) -> None:
        """Opens new ones, created at ``now`` and due since then. Raises AlreadyExists if one of
        them, or of their keys or parents, is there."""
        ...

    def get(self, uid: str) -> Delivery:
        """Raises NotFound."""
        ...

    def get_all(self, uids: Sequence[str]) -> Mapping[str, Delivery]:
        """Those that are there and can be read, by uid."""
        ...

    def last_attempts(self, uids: Sequence[str]) -> Mapping[str, DeliveryAttempt]:
        """Of each delivery the last of its :meth:`attempts`, by the uid of the delivery."""
        ...

    def standing(self, uids: Sequence[str]) -> Mapping[str, bool]:
        """Of those that are there, by uid: whether they have settled."""
        ...

    def tries(self, uids: Sequence[str]) -> Mapping[str, Tries]:
        """Of those that have :meth:`attempts`, by the uid of the delivery."""
        ...

    def attempts(self, uid: str) -> Sequence[DeliveryAttempt]:
        """Those that ended, or whose end is unknown for good, oldest first."""
        ...

    def listing(
        self, wanted: DeliveryFilter, *, page: Page | None = None, oldest_first: bool = False
    ) -> Sequence[Delivery]:
        """In the order in which they were opened, newest first. ``page.after`` is the uid of the
        last one of the page before. Raises UsageError for one that is not there any more."""
        ...

    def survey(
        self, wanted: DeliveryFilter, *, page: Page | None = None, oldest_first: bool = False
    ) -> Sequence[Delivery | Damaged]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        ...

    def count(self, wanted: DeliveryFilter) -> dict[DeliveryState, int]:
        """How many there are in each state; those with none are left out."""
        ...

    def unsettled(self, scope: Scope, source: SourceKind, name: str, most: int) -> int:
        """How many of a lane have not settled, but no more than ``most``. For sources without a
        gate."""
        ...

    def claim(
        self, owner: str, *, now: float, ttl: float, most: int, per_place: int, busy: dict[str, int]
    ) -> Claims:
        """Takes up to ``most`` due deliveries for ``owner`` until ``now + ttl``; in turns between
        lanes, within a lane by ``not_before`` and then as they were opened. The lane of a queue
        gives no more than its gate lets through, however many runners ask. ``busy`` says how many
        requests are on the wire to each place; no place gets more than ``per_place``. What one
        runner has taken no other can take."""
        ...

    def heartbeat(self, owner: str, uids: Collection[str], *, until: float) -> Sequence[Delivery]:
        """Extends the leases of ``uids``, as far as ``owner`` holds them. Returns all that it
        holds, more or less than it names: a claim whose answer was lost, a lease that ran out."""
        ...

    def forsaken(self, *, now: float, owner: str, limit: int = 256) -> Sequence[Delivery]:
        """SENDING, their leases over, not held by ``owner``."""
        ...

    def holders(self) -> Sequence[str]:
        """Whoever holds a delivery by the store."""
        ...

    def held_by(self, owner: str) -> Sequence[Delivery]: ...

    def record(self, moves: Sequence[Move]) -> Sequence[bool]:
        """The only writer of a state. Each move is written, with its attempt, if the delivery still
        is as it was read (state, holder and counts); the answer says for each whether it was. When
        one settles, the next of its order key may go. Raises IllegalTransition for a move that is
        not in the table."""
        ...

    def following(self) -> Sequence[Delivery]:
        """All that are FOLLOWING."""
        ...

    def overdue(self, *, now: float, limit: int = 256) -> Sequence[Delivery]:
        """PENDING, and older than their source keeps them."""
        ...

    def replay_of(self, uid: str) -> Delivery | None:
        """The delivery that replays ``uid``, if there is one."""
        ...

    def settled(self, wanted: DeliveryFilter, *, settled_before: float) -> int:
        """How many :meth:`purge` would remove without a limit."""
        ...

    def purge(self, wanted: DeliveryFilter, *, settled_before: float, limit: int = 1000) -> int:
        """Removes settled deliveries and their attempts, at most ``limit``; returns how many."""
        ...


# ---------------------------------------------------------------- the store of schedules


@dataclass(frozen=True, slots=True)
class Armed:
    """A schedule and where its ticker stands: ``last`` is the last nominal instant that was dealt
    with, ``next_at`` when the next one is to be opened, delays included; ``None`` for never."""

    schedule: Schedule
    last: float
    next_at: float | None


@dataclass(frozen=True, slots=True)
class Advance:
    """Where the ticker of the schedule ``uid`` stands from now on; see :class:`Armed`."""

    uid: str
    last: float
    next_at: float | None


@dataclass(frozen=True, slots=True)
class Ended:
    """An open occurrence whose delivery has settled, or was removed (``state`` is ``None``).
    ``execution`` is the uid of what it started, which may go on."""

    occurrence: Occurrence
    state: DeliveryState | None
    execution: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """A delivery (its uid) that replays another. ``execution`` is the uid of what it started, which
    may go on when the delivery has settled."""

    uid: str
    settled: bool
    execution: str | None


class ScheduleStore(Protocol):
    """Keeps schedules and their occurrences. Each method is one transaction, or a part of the one
    that is open (:meth:`jobrunner.ports.Store.group`). Raises StoreFault where the database fails.
    """

    def create(self, armed: Armed) -> None:
        """Raises AlreadyExists."""
        ...

    def find(self, scope: Scope, name: str) -> Armed | None: ...

    def get(self, uid: str) -> Armed:
        """Raises NotFound."""
        ...

    def take(self, uid: str) -> Armed:
        """As it is now; nobody else can take or change it until the transaction ends. What is
        decided about a schedule is decided between this and the commit. Raises NotFound."""
        ...

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Armed]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        ...

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Armed | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        ...

    def put(self, armed: Armed) -> None:
        """Writes all but uid and name of one that was taken. Raises NotFound."""
        ...

    def advance(self, uid: str, last: float, next_at: float | None) -> None: ...

    def put_off(self, uid: str, until: float) -> None:
        """One that cannot be read is due again then; where it stands does not change."""
        ...

    def advance_all(self, advances: Sequence[Advance]) -> None: ...

    def many(self, uids: Sequence[str]) -> Sequence[Armed]:
        """In the order of ``uids``; what is not there is left out."""
        ...

    def take_all(self, uids: Sequence[str]) -> Sequence[Armed]:
        """As :meth:`many`, each of them taken as by :meth:`take`."""
        ...

    def engaged(self, schedules: Sequence[Schedule]) -> frozenset[str]:
        """Uids of those that have an occurrence that is OPEN or WAITING, or a replay that has not
        settled."""
        ...

    def delete(self, uid: str) -> None:
        """With its occurrences."""
        ...

    def due(self, now: float, *, limit: int = 256) -> Sequence[str]:
        """Uids of those with something to open, the longest due first."""
        ...

    def next_at(self) -> float | None:
        """When the next one of all is due."""
        ...

    def open(self, occurrence: Occurrence) -> bool:
        """Stores it unless one with its key is there; says whether it did."""
        ...

    def draft(self, occurrence: Occurrence) -> Draft:
        """What :meth:`open_all` wants."""
        ...

    def open_all(self, drafts: Sequence[Draft], now: float) -> None:
        """Stores what was decided on at ``now``: what is OPEN was opened then, what is settled was
        settled then. Raises AlreadyExists if one of the keys is there."""
        ...

    def occurrence(self, key: OccurrenceKey) -> Occurrence | None: ...

    def move(self, before: OccurrenceState, after: Occurrence) -> bool:
        """Writes it if it is still ``before``; says whether it was."""
        ...

    def move_all(self, before: OccurrenceState, after: Sequence[Occurrence]) -> Sequence[bool]: ...

    def live(self, uid: str, state: OccurrenceState) -> Sequence[Occurrence]:
        """Those of a schedule that are ``state``, OPEN or WAITING, oldest first."""
        ...

    def latest(self, uid: str) -> Occurrence | None:
        """The last one that has a delivery."""
        ...

    def latest_deliveries(self, uids: Sequence[str]) -> Mapping[str, str]:
        """Of each schedule the delivery of its :meth:`latest`, by the uid of the schedule."""
        ...

    def history(
        self,
        uid: str,
        *,
        start: float | None = None,
        end: float | None = None,
        limit: int | None = None,
    ) -> Sequence[Occurrence]:
        """Those whose nominal instants lie in (``start``, ``end``], newest first."""
        ...

    def ended(self, after: OccurrenceKey | None = None, *, limit: int = 256) -> Sequence[Ended]:
        """By key, behind ``after``."""
        ...

    def waiting(self) -> Sequence[str]:
        """Uids of the schedules with WAITING occurrences."""
        ...

    def replays(self, schedule: Schedule) -> Sequence[Replay]:
        """Of its deliveries, oldest first; those that settled and started no run are left out."""
        ...

    def prune(self, settled_before: float) -> int:
        """Removes occurrences that settled before; returns how many."""
        ...


# ---------------------------------------------------------------- the store of queues


class QueueStore(Protocol):
    """Keeps queues, and the gate that each one is for the lane of its tasks: whether it is open,
    and how fast. Each method is one transaction, or a part of the one that is open
    (:meth:`jobrunner.ports.Store.group`). Raises StoreFault where the database fails."""

    def create(self, queue: Queue) -> bool:
        """Stores it with a full bucket unless there is one of its name; says whether it did."""
        ...

    def find(self, scope: Scope, name: str) -> Queue | None: ...

    def take(self, uid: str) -> Queue:
        """As it is now; nobody else can take or change it until the transaction ends. Raises
        NotFound."""
        ...

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Queue]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        ...

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Queue | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        ...

    def put(self, queue: Queue) -> None:
        """Writes all but uid and name. Raises NotFound."""
        ...

    def retune(self, queue: Queue, old: QueueRetry) -> int:
        """Gives its retry policy to those of its tasks that have ``old``: they were given none of
        their own. Returns how many."""
        ...

    def delete(self, queue: Queue, now: float, reason: str) -> None:
        """With all of its tasks, which are withdrawn for ``reason``."""
        ...

    def withdraw(self, queue: Queue, now: float, reason: str, last: int, most: int) -> int:
        """Its oldest ``most`` tasks, up to the position ``last``; returns how many."""
        ...

    def last(self, queue: Queue) -> int:
        """The position of its newest task; 0 for none. Tasks that come later have a greater one."""
        ...

    def unpurged(self) -> Sequence[Queue]:
        """Those with a position in ``purged_to``."""
        ...

    def depth(self, queue: Queue) -> int:
        """Tasks that have not settled."""
        ...

    def task(self, queue: Queue, name: str) -> Delivery | None:
        """Settled or not, as long as it is kept."""
        ...

    def tasks(self, queue: Queue, *, page: Page | None = None) -> Sequence[Delivery | Unreadable]:
        """Those that have not settled, oldest first; ``page.after`` is the short id of the last
        one before. Raises UsageError for one that is not known any more."""
        ...

    def force(self, uid: str, now: float) -> Delivery | None:
        """Makes a PENDING task due at ``now``, past the gate, for one attempt. ``None`` if it is
        not PENDING."""
        ...

    def rename(self, uid: str, key: str) -> None:
        """Gives the key of a settled delivery up."""
        ...


# ---------------------------------------------------------------- policies


class PolicyStore(Protocol):
    """Keeps the IAM policies of what has a uid: queues, triggers. Each method is one transaction,
    or a part of the one that is open (:meth:`jobrunner.ports.Store.group`). Raises StoreFault where
    the database fails."""

    def get(self, owner: str) -> Policy | None: ...

    def put(self, owner: str, policy: Policy, *, expect_etag: str) -> None:
        """Raises Conflict if the stored one has another etag (``NO_POLICY_ETAG`` where there is
        none)."""
        ...

    def delete(self, owner: str) -> None: ...
