"""Use cases of queues and their tasks. Every method that writes is called inside a transaction
(:class:`jobrunner.ports.Commit`, or :meth:`jobrunner.ports.Store.group`); whoever calls it tells
the dispatcher to look afterwards. A task is in the queue as long as its delivery has not settled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, NotFound, Refused
from jobrunner.ports import Clock, Ids, Page
from triggers.core.queue_validation import check_queue, check_task
from triggers.core.queues import (
    NAME_WINDOW,
    Queue,
    QueueState,
    Task,
    made_up_id,
    task_key,
)
from triggers.core.records import Delivery, Payload, QueueRetry, SourceKind, Target, Unreadable
from triggers.core.states import SETTLED_DELIVERIES
from triggers.errors import DamagedRow
from triggers.ports import DeliveryStore, QueueStore, Tries
from triggers.service import moves
from triggers.service.unknown import unknown

NO_QUEUE = (
    "Queue does not exist. If you just created the queue, wait at least a minute for the queue to"
    " initialize."
)
NOT_FOUND = "Requested entity was not found."
GONE = (
    "The task no longer exists, though a task with this name existed recently. The task either"
    " successfully completed or was deleted."
)
QUEUE_EXISTS = "Queue already exists"
TASK_EXISTS = "Requested entity already exists"
PURGED, REMOVED = "withdrawn: the queue was purged", "withdrawn: the queue was deleted"
TOO_RECENTLY = "The task cannot be created because a task with this name existed too recently."

Change = Callable[[Queue], Queue]
Halted = Callable[[Queue, bool], None]


class Queues:
    def __init__(
        self, store: QueueStore, deliveries: DeliveryStore, clock: Clock, ids: Ids
    ) -> None:
        self.store = store
        self._deliveries = deliveries
        self._clock = clock
        self._ids = ids
        self._halted: list[Halted] = []

    def watch(self, halted: Halted) -> None:
        """``halted`` is called after the commit when a queue was paused, and, then with ``True``,
        when all of its tasks are to be withdrawn."""
        self._halted.append(halted)

    def halted(self, queue: Queue, *, emptied: bool = False) -> None:
        """To be called as soon as :meth:`pause`, :meth:`purge` or :meth:`condemn` is durable."""
        for watcher in self._halted:
            watcher(queue, emptied)

    # ------------------------------------------------------------ queues

    def create(self, wanted: Queue) -> Queue:
        """``wanted`` as it is to be, but for uid, state and instants. Raises InvalidSpec and
        AlreadyExists. A name is free again as soon as its queue is deleted."""
        now = self._clock.now()
        queue = replace(
            wanted,
            uid=self._ids.uid(),
            state=QueueState.RUNNING,
            created_at=now,
            updated_at=now,
            purged_at=None,
            purged_to=0,
            resource_version=1,
        )
        check_queue(queue)
        if not self.store.create(queue):
            raise AlreadyExists(QUEUE_EXISTS)
        return queue

    def get(self, scope: Scope, name: str) -> Queue:
        """Raises NotFound."""
        found = self.store.find(scope, name)
        if found is None:
            known = [one.name for one in self.store.listing(*scope, page=Page(1000))]
            raise unknown(NO_QUEUE, name, known)
        return found

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Queue]:
        """By project, region and name; ``page.after`` is PROJECT/REGION/NAME."""
        return self.store.listing(project, region, page=page)

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Queue | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        return self.store.survey(project, region, page=page)

    def update(self, scope: Scope, name: str, change: Change) -> Queue:
        """``change`` makes the new one from what is there; name, state and instants stay. Retries
        are those of the new one for its tasks, too, but for tasks with a policy of their own.
        Raises NotFound, InvalidSpec."""
        old = self._take(scope, name)
        wanted = replace(
            change(old),
            uid=old.uid,
            project=old.project,
            region=old.region,
            name=old.name,
            state=old.state,
            created_at=old.created_at,
            purged_at=old.purged_at,
            purged_to=old.purged_to,
        )
        check_queue(wanted)
        changed = self._put(wanted)
        # After the gate, which whoever records an attempt takes before its task, too.
        if wanted.retry != old.retry:
            self.store.retune(wanted, old.retry)
        return changed

    def delete(self, scope: Scope, name: str) -> Queue:
        """With its tasks; a call under way is broken off, a run goes on. Raises NotFound."""
        queue = self._doomed(scope, name)
        self.store.delete(queue, self._clock.now(), REMOVED)
        return queue

    def condemn(self, scope: Scope, name: str) -> Queue:
        """To be called before :meth:`delete`, and then :meth:`purge_some` until nothing is left:
        many tasks are too much for one transaction. Raises NotFound."""
        queue = self._doomed(scope, name)
        return self._put(replace(queue, purged_to=self.store.last(queue)))

    def pause(self, scope: Scope, name: str) -> Queue:
        """Nothing is sent any more but what is run by hand; tasks can still be added."""
        return self._put(replace(self._take(scope, name), state=QueueState.PAUSED))

    def resume(self, scope: Scope, name: str) -> Queue:
        return self._put(replace(self._take(scope, name), state=QueueState.RUNNING))

    def purge(self, scope: Scope, name: str) -> Queue:
        """Every task that was created before now is to be withdrawn: :meth:`purge_some` does it, as
        often as it takes."""
        queue = self._take(scope, name)
        return self._put(
            replace(queue, purged_at=self._clock.now(), purged_to=self.store.last(queue))
        )

    def purge_some(self, uid: str, most: int, reason: str = PURGED) -> bool:
        """Withdraws up to ``most`` tasks that a purge has still to take; says whether there may be
        more. Raises NotFound for the queue."""
        queue = self.store.take(uid)
        if not queue.purged_to:
            return False
        gone = self.store.withdraw(queue, self._clock.now(), reason, queue.purged_to, most)
        if gone == most:
            return True
        self.store.put(replace(queue, purged_to=0))
        return False

    def unpurged(self) -> Sequence[Queue]:
        """Those that a purge has not ended in."""
        return self.store.unpurged()

    def depth(self, queue: Queue) -> int:
        """How many tasks it has."""
        return self.store.depth(queue)

    # ------------------------------------------------------------ tasks

    def create_task(
        self,
        scope: Scope,
        queue: str,
        *,
        target: Target,
        name: str | None = None,
        payload: Payload | None = None,
        schedule_time: float | None = None,
        delay: float = 0.0,
        retry: QueueRetry | None = None,
    ) -> Task:
        """``delay`` (seconds from now) is another way to say ``schedule_time``. ``retry`` is that
        of the queue unless it is given. Raises NotFound for the queue, InvalidSpec, and
        AlreadyExists for a name that a task has, or had until recently."""
        found, now = self.get(scope, queue), self._clock.now()
        if schedule_time is None and delay:
            schedule_time = now + delay
        check_task(name, target, payload, schedule_time, retry, now)
        uid = self._ids.uid()
        delivery = Delivery(
            uid=uid,
            project=found.project,
            region=found.region,
            source=SourceKind.QUEUE,
            source_name=found.name,
            key=task_key(found, name or made_up_id(uid)),
            target=target,
            retry=retry or found.retry,
            payload=payload,
            created_at=now,
            queued_at=now,
            not_before=now if schedule_time is None else max(now, schedule_time),
        )
        if name is not None:
            known = self.store.task(found, name)
            if known is not None:
                self._free(known, now)
        if self._deliveries.open(delivery).uid != uid:
            raise AlreadyExists(TASK_EXISTS)
        return Task(delivery)

    def get_task(self, scope: Scope, queue: str, name: str) -> Task:
        """Raises NotFound for the queue, and for a task that has settled."""
        return self._seen([self._task(scope, queue, name)])[0]

    def list_tasks(
        self, scope: Scope, queue: str, *, page: Page | None = None
    ) -> Sequence[Task | Unreadable]:
        """Oldest first, with what cannot be read in its place among the others. ``page.after`` is
        the short id of the last one of the page before; one that has settled since serves as well
        as long as its name is known."""
        found = self.get(scope, queue)
        there = self.store.tasks(found, page=page)
        seen = iter(self._seen([one for one in there if not isinstance(one, Unreadable)]))
        return [one if isinstance(one, Unreadable) else next(seen) for one in there]

    def delete_task(self, scope: Scope, queue: str, name: str) -> None:
        """A call that is on its way is broken off. Raises NotFound."""
        delivery = self._task(scope, queue, name)
        move = moves.withdrawn(delivery, self._clock.now(), "")
        if self._deliveries.record([move]) != [True]:
            raise Refused(f"Task '{name}' has moved just now.", hint="Try it again.")

    def run_task(self, scope: Scope, queue: str, name: str) -> Task:
        """Sends it now, whatever the rate of the queue is and even if that is paused: this takes
        the place of its schedule. One that is being sent right now is not sent twice. Raises
        NotFound."""
        delivery = self._task(scope, queue, name)
        return self._seen([self.store.force(delivery.uid, self._clock.now()) or delivery])[0]

    # ------------------------------------------------------------ parts

    def _task(self, scope: Scope, queue: str, name: str) -> Delivery:
        found = self.get(scope, queue)
        known = self.store.task(found, name)
        if known is None or self._is_free(known, self._clock.now()):
            raise NotFound(NOT_FOUND)
        if known.state in SETTLED_DELIVERIES:
            raise NotFound(GONE)
        return known

    def _seen(self, deliveries: Sequence[Delivery]) -> Sequence[Task]:
        tried = [one.uid for one in deliveries if one.attempts or one.unknown]
        found = self._deliveries.tries(tried) if tried else {}
        return [_task_of(delivery, found.get(delivery.uid)) for delivery in deliveries]

    def _free(self, known: Delivery, now: float) -> None:
        """Gives the name of a task that ended long ago to the next one."""
        if known.state not in SETTLED_DELIVERIES:
            raise AlreadyExists(TASK_EXISTS)
        if not self._is_free(known, now):
            raise AlreadyExists(TOO_RECENTLY)
        self.store.rename(known.uid, f"{known.key}/{known.uid}")

    @staticmethod
    def _is_free(known: Delivery, now: float) -> bool:
        return known.settled_at is not None and known.settled_at <= now - NAME_WINDOW

    def _doomed(self, scope: Scope, name: str) -> Queue:
        try:
            found = self.store.find(scope, name)
            if found is None:
                raise NotFound(NOT_FOUND)
            return self.store.take(found.uid)
        except DamagedRow as damaged:
            # Its place in the lane of its tasks is all that is needed.
            return Queue(damaged.uid, scope.project, scope.region, name)

    def _take(self, scope: Scope, name: str) -> Queue:
        return self.store.take(self.get(scope, name).uid)

    def _put(self, queue: Queue) -> Queue:
        version = queue.resource_version + 1
        changed = replace(queue, updated_at=self._clock.now(), resource_version=version)
        self.store.put(changed)
        return changed


def _task_of(delivery: Delivery, tries: Tries | None) -> Task:
    if tries is None:
        return Task(delivery)
    return Task(delivery, tries.first, tries.last, tries.answered)
