"""Use cases of subscriptions as they are declared. Every method that writes is called inside a
transaction (:class:`jobrunner.ports.Commit`). What comes in is in
:mod:`triggers.service.arrivals`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from jobrunner.core.records import Scope
from jobrunner.ports import Clock, Ids, MachineClock, Page
from triggers.core.event_validation import check_subscription
from triggers.core.records import Unreadable
from triggers.core.subscriptions import Intake, Subscription, SubscriptionState
from triggers.errors import changed_meanwhile
from triggers.event_ports import SubscriptionStore
from triggers.ports import DeliveryStore
from triggers.service.arrivals import Arrivals
from triggers.service.damaged import uid_of
from triggers.service.unknown import no_such

Change = Callable[[Subscription], Subscription]


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
        self.arrivals = Arrivals(store, deliveries, machine, ids)
        self._clock = clock
        self._ids = ids
        self._watchers: list[Callable[[], None]] = []
        self._trouble: Callable[[str], str] = lambda uid: ""
        self._ready: Callable[[str], Awaitable[None]] | None = None

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
            known = self.store.listing(*scope, page=Page(1000))
            raise no_such("subscription", scope, name, known)
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
        self.arrivals.forget(uid)

    def pause(self, scope: Scope, name: str) -> Subscription:
        """Takes in nothing more; what was taken in goes on."""
        return self._in_state(scope, name, SubscriptionState.PAUSED)

    def resume(self, scope: Scope, name: str) -> Subscription:
        return self._in_state(scope, name, SubscriptionState.ACTIVE)

    def forget(self) -> None:
        """To be called after the commit of a change: what was remembered is read again."""
        self.arrivals.read_again()
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

    # ------------------------------------------------------------ parts

    def _expected(self, scope: Scope, name: str, version: int | None) -> Subscription:
        found = self.get(scope, name)
        if version is not None and version != found.resource_version:
            raise changed_meanwhile("Subscription", name)
        return found

    def _in_state(self, scope: Scope, name: str, state: SubscriptionState) -> Subscription:
        old = self.get(scope, name)
        return old if old.state is state else self._put(old, replace(old, state=state))

    def _put(self, old: Subscription, wanted: Subscription) -> Subscription:
        version = old.resource_version + 1
        changed = replace(wanted, updated_at=self._clock.now(), resource_version=version)
        self.store.put(changed, version=old.resource_version)
        return changed
