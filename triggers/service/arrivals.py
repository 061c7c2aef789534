"""Messages that come in: each opens a delivery, or is told why not.

Whatever brought them, they are taken inside a transaction (:class:`jobrunner.ports.Commit`, or
:meth:`jobrunner.ports.Store.group`)::

    taken = await commit(lambda: arrivals.accept(subscription, message, now))
    if taken.result is Result.OPENED:
        dispatcher.look()

For ``ack: durable`` a message may be acknowledged when that has returned and ``taken.acknowledge``
holds. For ``ack: finished`` it is acknowledged when ``taken.delivery`` has settled as DELIVERED
(:class:`triggers.service.settling.Settlements` waits for it), and nacked if it settles in another
way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from jobrunner.core.records import Scope
from jobrunner.errors import Conflict, NotFound
from jobrunner.ports import Ids, MachineClock
from triggers.core.dead_letters import with_origin
from triggers.core.events import PubsubMessage
from triggers.core.message_plans import message_key, plan_message
from triggers.core.records import Delivery, SourceKind
from triggers.core.states import DeliveryState
from triggers.core.subscriptions import AckPolicy, Subscription, SubscriptionState
from triggers.event_ports import SubscriptionStore
from triggers.ports import DeliveryStore
from triggers.service.backlog import Backlogs

Arrival = tuple[Subscription, PubsubMessage, float]
"""A message, where it came in, and when."""
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


class Arrivals:
    """What comes in, and what this runner remembers of it."""

    def __init__(
        self,
        store: SubscriptionStore,
        deliveries: DeliveryStore,
        machine: MachineClock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._machine = machine
        self._ids = ids
        self._backlogs = Backlogs(machine)
        self._counts: dict[str, dict[Result, int]] = {}
        self._named: dict[tuple[str, Scope | None], tuple[float, Subscription]] = {}
        self._given_up: dict[str, int] = {}
        self._listeners: list[Listener] = []

    def listen(self, taken: Listener) -> None:
        """``taken`` is called with each message whose delivery is opened, inside that transaction,
        and may write more; again after a collision. It may not raise but a StoreFault."""
        self._listeners.append(taken)

    def addressed(self, name: str, scope: Scope | None = None) -> Subscription:
        """The one that a push names, at most a second old. Without ``scope`` the name must be one
        of a kind. Raises NotFound, and Conflict for a name that several have."""
        moment = self._machine.monotonic()
        read_at, found = self._named.get((name, scope), (0.0, None))
        if found is not None and 0.0 <= moment - read_at < REMEMBERED_SECONDS:
            return found
        if scope is None:
            several = self._store.named(name)
            if len(several) > 1:
                raise Conflict(
                    f"{len(several)} subscriptions are named '{name}'.",
                    hint=f"Push to /push/PROJECT/REGION/{name}.",
                )
            found = several[0] if several else None
        else:
            found = self._store.find(scope, name)
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

    def counts(self, subscription: Subscription) -> Counts:
        known = self._counts.get(subscription.uid, {})
        return Counts(**{result.value: count for result, count in known.items()})

    def backlog(self, subscription: Subscription) -> int:
        """Deliveries that have not settled, up to the bound."""
        return self._unsettled(subscription)(subscription.backlog)

    def read_again(self) -> None:
        """Something was changed: no subscription is remembered."""
        self._named.clear()

    def forget(self, uid: str) -> None:
        """It was deleted."""
        self._backlogs.forget(uid)
        self._counts.pop(uid, None)

    # ------------------------------------------------------------ parts

    def _unsettled(self, subscription: Subscription) -> Callable[[int], int]:
        scope, source = subscription.scope, SourceKind.SUBSCRIPTION
        return lambda most: self._deliveries.unsettled(scope, source, subscription.name, most)

    def _remember(self, key: str, attempt: int) -> None:
        """So that a message that is refused for days is not tried under each number again."""
        if len(self._given_up) >= MOST_REMEMBERED:
            self._given_up.clear()
        self._given_up[key] = attempt


def _aged(delivery: Delivery, subscription: Subscription, now: float) -> Delivery:
    """A message that its sender still has is not too old, whatever its date; and databases have
    keys without NUL."""
    retention = subscription.retry.retention
    if not now - retention < delivery.queued_at <= now:
        delivery = replace(delivery, queued_at=now)
    if delivery.order_key is not None and "\0" in delivery.order_key:
        delivery = replace(delivery, order_key=delivery.order_key.replace("\0", "\\0"))
    return delivery
