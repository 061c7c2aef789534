"""Use cases of subscriptions. Every method that writes is called inside a transaction
(:class:`jobrunner.ports.Commit`, or :meth:`jobrunner.ports.Store.group`).

Messages come in by :meth:`Subscriptions.accept`, whatever brought them::

    taken = await commit(lambda: subscriptions.accept(subscription, message, now))
    if taken.result is Result.OPENED:
        dispatcher.look()

For ``ack: durable`` a message may be acknowledged when that has returned and ``taken.acknowledge``
holds. For ``ack: finished`` it is acknowledged when ``taken.delivery`` has settled as DELIVERED
(:class:`triggers.service.settling.Settlements` waits for it), and nacked if it settles in another
way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from jobrunner.core.nearest import nearest
from jobrunner.core.records import Scope
from jobrunner.errors import Conflict, NotFound
from jobrunner.ports import Clock, Ids, MachineClock, Page
from triggers.core.dead_letters import with_origin
from triggers.core.event_validation import check_subscription
from triggers.core.events import PubsubMessage
from triggers.core.message_plans import message_key, plan_message
from triggers.core.records import Delivery, SourceKind, Unreadable
from triggers.core.states import DeliveryState
from triggers.core.subscriptions import AckPolicy, Intake, Subscription, SubscriptionState
from triggers.event_ports import SubscriptionStore
from triggers.ports import DeliveryStore
from triggers.service.backlog import Backlogs
from triggers.service.damaged import uid_of

Arrival = tuple[Subscription, PubsubMessage, float]
"""A message, where it came in, and when."""
Change = Callable[[Subscription], Subscription]
Listener = Callable[[Subscription, PubsubMessage, float], None]

REMEMBERED_SECONDS = 1.0
"""How soon a change that another process made is seen by what comes in."""
MOST_REMEMBERED = 10_000
_AGAIN = "it was taken before"
_GIVEN_UP = frozenset({DeliveryState.DEAD, DeliveryState.EXPIRED})


class Result(StrEnum):
    """What became of a message."""

    OPENED = "opened"
    AGAIN = "again"
    """Its delivery was there."""
    FILTERED = "filtered"
    """The filter said no; acknowledge it and forget it."""
    BROKEN = "broken"
    """No delivery can be made of it; nack it."""
    FULL = "full"
    """The backlog has reached its bound; nack it, and wait before the next one."""
    PAUSED = "paused"
    """Nack it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """``delivery`` is there for OPENED and AGAIN, as it is stored; ``reason`` is a sentence."""

    result: Result
    delivery: Delivery | None = None
    reason: str = ""

    @property
    def acknowledge(self) -> bool:
        """Of a subscription that acknowledges what is durable."""
        return self.result in (Result.OPENED, Result.AGAIN, Result.FILTERED)


@dataclass(frozen=True, slots=True)
class Counts:
    """Messages since this runner began."""

    opened: int = 0
    again: int = 0
    filtered: int = 0
    broken: int = 0
    full: int = 0
    paused: int = 0


class Subscriptions:
    def __init__(
        self,
        store: SubscriptionStore,
        deliveries: DeliveryStore,
        clock: Clock,
        machine: MachineClock,
        ids: Ids,
    ) -> None:
        self.store = store
        self._deliveries = deliveries
        self._clock = clock
        self._machine = machine
        self._ids = ids
        self._backlogs = Backlogs(machine)
        self._counts: dict[str, dict[Result, int]] = {}
        self._named: dict[tuple[str, Scope | None], tuple[float, Subscription]] = {}
        self._given_up: dict[str, int] = {}
        self._watchers: list[Callable[[], None]] = []
        self._listeners: list[Listener] = []
        self._trouble: Callable[[str], str] = lambda uid: ""
        self._ready: Callable[[str], Awaitable[None]] | None = None

    def listen(self, taken: Listener) -> None:
        """``taken`` is called with each message whose delivery is opened, inside that transaction,
        and may write more; again after a collision. It may not raise but a StoreFault."""
        self._listeners.append(taken)

    # ------------------------------------------------------------ what is declared

    def create(self, wanted: Subscription) -> Subscription:
        """``wanted`` as it is to be, but for uid, state and instants. Raises InvalidSpec,
        AlreadyExists."""
        now = self._clock.now()
        subscription = replace(
            wanted,
            uid=self._ids.uid(),
            state=SubscriptionState.ACTIVE,
            created_at=now,
            updated_at=now,
            resource_version=1,
        )
        check_subscription(subscription)
        self.store.create(subscription)
        return subscription

    def get(self, scope: Scope, name: str) -> Subscription:
        """Raises NotFound."""
        found = self.store.find(scope, name)
        if found is None:
            known = [one.name for one in self.store.listing(*scope, page=Page(1000))]
            guess = nearest(name, known)
            raise NotFound(
                f"There is no subscription '{name}' in {scope.region} of project {scope.project}.",
                hint=f"Did you mean '{guess}'?" if guess else None,
            )
        return found

    def listing(
        self,
        project: str | None,
        region: str | None = None,
        *,
        intake: Intake | None = None,
        page: Page | None = None,
    ) -> Sequence[Subscription]:
        """By project, region and name; ``page.after`` is PROJECT/REGION/NAME."""
        return self.store.listing(project, region, intake=intake, page=page)

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Subscription | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        return self.store.survey(project, region, page=page)

    def update(
        self, scope: Scope, name: str, change: Change, *, version: int | None = None
    ) -> Subscription:
        """``change`` makes the new one from what is there; name, state, uid and creation stay. With
        a ``version`` only if it still has that one. Raises NotFound, Conflict, InvalidSpec."""
        old = self._expected(scope, name, version)
        wanted = replace(
            change(old),
            uid=old.uid,
            project=old.project,
            region=old.region,
            name=old.name,
            state=old.state,
            created_at=old.created_at,
        )
        check_subscription(wanted)
        return self._put(old, wanted)

    def delete(self, scope: Scope, name: str, *, version: int | None = None) -> None:
        """What it has taken in goes on. Raises NotFound, Conflict."""
        uid = uid_of(lambda: self._expected(scope, name, version))
        self.store.delete(uid)
        self._backlogs.forget(uid)
        self._counts.pop(uid, None)

    def pause(self, scope: Scope, name: str) -> Subscription:
        """Takes in nothing more; what was taken in goes on."""
        return self._in_state(scope, name, SubscriptionState.PAUSED)

    def resume(self, scope: Scope, name: str) -> Subscription:
        return self._in_state(scope, name, SubscriptionState.ACTIVE)

    def forget(self) -> None:
        """To be called after the commit of a change: what was remembered is read again."""
        self._named.clear()
        for told in self._watchers:
            told()

    def trouble(self, subscription: Subscription) -> str:
        """What keeps this runner from taking its messages in now; empty for nothing."""
        return self._trouble(subscription.uid)

    async def ready(self, subscription: Subscription) -> None:
        """After :meth:`forget`: until what is published reaches one that is pulled, or it is known
        what is wrong; a few seconds at most."""
        pulled = subscription.intake is Intake.PULL
        if self._ready is not None and pulled and subscription.state is SubscriptionState.ACTIVE:
            await self._ready(subscription.uid)

    def ask(
        self, trouble: Callable[[str], str], ready: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        """``trouble`` says what keeps messages of the subscription of a uid from coming, ``ready``
        waits until that is known."""
        self._trouble, self._ready = trouble, ready

    def watch(self, told: Callable[[], None]) -> None:
        """``told`` is called after the commit of a change."""
        self._watchers.append(told)

    def counts(self, subscription: Subscription) -> Counts:
        known = self._counts.get(subscription.uid, {})
        return Counts(**{result.value: count for result, count in known.items()})

    def backlog(self, subscription: Subscription) -> int:
        """Deliveries that have not settled, up to the bound."""
        return self._unsettled(subscription)(subscription.backlog)

    # ------------------------------------------------------------ what comes in

    def addressed(self, name: str, scope: Scope | None = None) -> Subscription:
        """The one that a push names, at most a second old. Without ``scope`` the name must be one
        of a kind. Raises NotFound, and Conflict for a name that several have."""
        moment = self._machine.monotonic()
        read_at, found = self._named.get((name, scope), (0.0, None))
        if found is not None and 0.0 <= moment - read_at < REMEMBERED_SECONDS:
            return found
        if scope is None:
            several = self.store.named(name)
            if len(several) > 1:
                raise Conflict(
                    f"{len(several)} subscriptions are named '{name}'.",
                    hint=f"Push to /push/PROJECT/REGION/{name}.",
                )
            found = several[0] if several else None
        else:
            found = self.store.find(scope, name)
        if found is None:
            # Not remembered: a stranger could fill the memory.
            self._named.pop((name, scope), None)
            raise NotFound(f"There is no subscription '{name}'.")
        if len(self._named) >= MOST_REMEMBERED:
            self._named.clear()
        self._named[(name, scope)] = (moment, found)
        return found

    def accept(self, subscription: Subscription, message: PubsubMessage, now: float) -> Taken:
        """Inside a transaction: opens the delivery of ``message``, or finds the one that is there.
        Raises StoreFault; then nothing of it was written."""
        taken = self._accepted(subscription, message, now)
        self._told([(subscription, message, now)], [taken])
        return taken

    def accept_all(self, arrivals: Sequence[Arrival]) -> Sequence[Taken]:
        """What :meth:`accept` does for each of them, in their order, by as few statements as it
        can. If it raises, nothing of any of them may stay written."""
        if len(arrivals) == 1:
            return [self.accept(*arrivals[0])]
        answers: list[Taken] = []
        planned: list[tuple[int, str, Delivery]] = []

        def open_planned() -> None:
            stored = self._deliveries.open_each([wanted for _, _, wanted in planned])
            for (place, uid, wanted), delivery in zip(planned, stored, strict=True):
                if delivery.uid != wanted.uid:
                    answers[place] = Taken(Result.AGAIN, delivery, _AGAIN)
                    self._backlogs.added(uid, -1)
            planned.clear()

        for subscription, message, now in arrivals:
            if subscription.ack is AckPolicy.FINISHED:
                open_planned()
                answers.append(self._accepted(subscription, message, now))
                continue
            taken = self._refused(subscription, open_planned)
            if taken is None:
                taken = self._planned(subscription, message, now)
                if taken.delivery is not None:
                    planned.append((len(answers), subscription.uid, taken.delivery))
                    self._backlogs.added(subscription.uid)
            answers.append(taken)
        open_planned()
        self._told(arrivals, answers)
        return answers

    def _accepted(self, subscription: Subscription, message: PubsubMessage, now: float) -> Taken:
        refused = self._refused(subscription)
        if refused is not None:
            return refused
        finishing = subscription.ack is AckPolicy.FINISHED
        first = message_key(subscription, message)
        attempt = self._given_up.get(first, 0) if finishing else 0
        while True:
            taken = self._planned(subscription, message, now, attempt)
            if taken.delivery is None:
                return taken
            stored = self._deliveries.open(taken.delivery)
            if stored.uid == taken.delivery.uid:
                self._backlogs.added(subscription.uid)
                return taken
            if not finishing or stored.state not in _GIVEN_UP:
                return Taken(Result.AGAIN, stored, _AGAIN)
            attempt += 1
            self._remember(first, attempt)

    def _refused(
        self, subscription: Subscription, before: Callable[[], None] = lambda: None
    ) -> Taken | None:
        """``before`` is called before the backlog is counted."""
        if subscription.state is SubscriptionState.PAUSED:
            return Taken(Result.PAUSED, reason=f"subscription '{subscription.name}' is paused")

        def count(most: int) -> int:
            before()
            return self._unsettled(subscription)(most)

        bound = subscription.backlog
        if self._backlogs.full(subscription.uid, bound, count):
            return Taken(Result.FULL, reason=f"{bound} messages wait, which is the bound")
        return None

    def _planned(
        self, subscription: Subscription, message: PubsubMessage, now: float, attempt: int = 0
    ) -> Taken:
        """OPENED with a delivery that is still to be opened, or why there is none."""
        plan = plan_message(subscription, message, now=now, uid=self._ids.uid(), attempt=attempt)
        if plan.delivery is None:
            result = Result.BROKEN if plan.problem else Result.FILTERED
            return Taken(result, reason=plan.problem or plan.reason)
        wanted = _aged(with_origin(plan.delivery, subscription, message), subscription, now)
        return Taken(Result.OPENED, wanted, plan.reason)

    def _told(self, arrivals: Sequence[Arrival], answers: Sequence[Taken]) -> None:
        for arrival, taken in zip(arrivals, answers, strict=True):
            if taken.result is Result.OPENED:
                for listener in self._listeners:
                    listener(*arrival)
        for (subscription, _, _), taken in zip(arrivals, answers, strict=True):
            known = self._counts.setdefault(subscription.uid, {})
            known[taken.result] = known.get(taken.result, 0) + 1

    # ------------------------------------------------------------ parts

    def _unsettled(self, subscription: Subscription) -> Callable[[int], int]:
        scope, source = subscription.scope, SourceKind.SUBSCRIPTION
        return lambda most: self._deliveries.unsettled(scope, source, subscription.name, most)

    def _remember(self, key: str, attempt: int) -> None:
        """So that a message that is refused for days is not tried under each number again."""
        if len(self._given_up) >= MOST_REMEMBERED:
            self._given_up.clear()
        self._given_up[key] = attempt

    def _expected(self, scope: Scope, name: str, version: int | None) -> Subscription:
        found = self.get(scope, name)
        if version is not None and version != found.resource_version:
            raise Conflict(
                f"Subscription '{name}' was changed by somebody else meanwhile.",
                hint="Look at it as it is now, then try again.",
            )
        return found

    def _in_state(self, scope: Scope, name: str, state: SubscriptionState) -> Subscription:
        old = self.get(scope, name)
        return old if old.state is state else self._put(old, replace(old, state=state))

    def _put(self, old: Subscription, wanted: Subscription) -> Subscription:
        version = old.resource_version + 1
        changed = replace(wanted, updated_at=self._clock.now(), resource_version=version)
        self.store.put(changed, version=old.resource_version)
        return changed


def _aged(delivery: Delivery, subscription: Subscription, now: float) -> Delivery:
    """A message that its sender still has is not too old, whatever its date; and databases have
    keys without NUL."""
    retention = subscription.retry.retention
    if not now - retention < delivery.queued_at <= now:
        delivery = replace(delivery, queued_at=now)
    if delivery.order_key is not None and "\0" in delivery.order_key:
        delivery = replace(delivery, order_key=delivery.order_key.replace("\0", "\\0"))
    return delivery
