"""The store of deliveries over one connection: each method is one transaction, or a part of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from jobrunner.core.records import Scope
from jobrunner.lib.database import Database
from jobrunner.ports import Page
from jobrunner.transactions import Transactions
from triggers.core.records import Delivery, DeliveryAttempt, SourceKind
from triggers.core.states import DeliveryState
from triggers.ports import Claims, Damaged, DeliveryFilter, Draft, Move, Tries
from triggers.store import claiming, deliveries, recording
from triggers.store.rows import lane


class SqlDeliveries(Transactions):
    """See :class:`triggers.ports.DeliveryStore`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._rotation = claiming.Rotation()

    def open(self, delivery: Delivery) -> Delivery:
        return self._write(lambda s: deliveries.open_(s, delivery))

    def open_each(self, wanted: Sequence[Delivery]) -> Sequence[Delivery]:
        return self._write(lambda s: deliveries.open_each(s, wanted))

    def draft(self, delivery: Delivery) -> Draft:
        return deliveries.draft(delivery)

    def open_all(self, drafts: Sequence[Draft], now: float) -> None:
        self._write(lambda s: deliveries.open_all(s, drafts, now))

    def get(self, uid: str) -> Delivery:
        return self._read(lambda s: deliveries.get(s, uid))

    def attempts(self, uid: str) -> Sequence[DeliveryAttempt]:
        return self._read(lambda s: deliveries.attempts(s, uid))

    def get_all(self, uids: Sequence[str]) -> Mapping[str, Delivery]:
        return self._read(lambda s: deliveries.get_all(s, uids))

    def last_attempts(self, uids: Sequence[str]) -> Mapping[str, DeliveryAttempt]:
        return self._read(lambda s: deliveries.last_attempts(s, uids))

    def standing(self, uids: Sequence[str]) -> Mapping[str, bool]:
        return self._read(lambda s: deliveries.standing(s, uids))

    def tries(self, uids: Sequence[str]) -> Mapping[str, Tries]:
        return self._read(lambda s: deliveries.tries(s, uids))

    def listing(
        self, wanted: DeliveryFilter, *, page: Page | None = None, oldest_first: bool = False
    ) -> Sequence[Delivery]:
        return self._read(lambda s: deliveries.listing(s, wanted, page, oldest_first))

    def survey(
        self, wanted: DeliveryFilter, *, page: Page | None = None, oldest_first: bool = False
    ) -> Sequence[Delivery | Damaged]:
        return self._read(lambda s: deliveries.survey(s, wanted, page, oldest_first))

    def count(self, wanted: DeliveryFilter) -> dict[DeliveryState, int]:
        return self._read(lambda s: deliveries.count(s, wanted))

    def unsettled(self, scope: Scope, source: SourceKind, name: str, most: int) -> int:
        return self._read(lambda s: deliveries.unsettled(s, lane(*scope, source, name), most))

    def claim(
        self, owner: str, *, now: float, ttl: float, most: int, per_place: int, busy: dict[str, int]
    ) -> Claims:
        return self._write(
            lambda s: claiming.claim(s, self._rotation, owner, now, ttl, most, per_place, busy)
        )

    def heartbeat(self, owner: str, uids: Collection[str], *, until: float) -> Sequence[Delivery]:
        return self._write(lambda s: claiming.heartbeat(s, owner, uids, until))

    def forsaken(self, *, now: float, owner: str, limit: int = 256) -> Sequence[Delivery]:
        return self._read(lambda s: claiming.forsaken(s, now, owner, limit))

    def holders(self) -> Sequence[str]:
        return self._read(claiming.holders)

    def held_by(self, owner: str) -> Sequence[Delivery]:
        return self._read(lambda s: claiming.held_by(s, owner))

    def record(self, moves: Sequence[Move]) -> Sequence[bool]:
        return self._write(lambda s: recording.record(s, moves))

    def following(self) -> Sequence[Delivery]:
        return self._read(deliveries.following)

    def overdue(self, *, now: float, limit: int = 256) -> Sequence[Delivery]:
        return self._read(lambda s: deliveries.overdue(s, now, limit))

    def replay_of(self, uid: str) -> Delivery | None:
        return self._read(lambda s: deliveries.replay_of(s, uid))

    def settled(self, wanted: DeliveryFilter, *, settled_before: float) -> int:
        return self._read(lambda s: deliveries.settled(s, wanted, settled_before))

    def purge(self, wanted: DeliveryFilter, *, settled_before: float, limit: int = 1000) -> int:
        return self._write(lambda s: deliveries.purge(s, wanted, settled_before, limit))
