"""What befalls calls on purpose, by a sender that notes what it was asked to send."""

import asyncio
from dataclasses import replace

import pytest

from jobrunner.core.faults import Faults
from jobrunner.core.news import News
from jobrunner.lib.clock import VirtualClock
from tests.support.deliveries import a_delivery
from triggers.core.records import Delivery, SourceKind
from triggers.core.verdict import Answer, Break, Broken
from triggers.ports import Sent
from triggers.senders.faulty import FaultySender


def delivery(uid: str) -> Delivery:
    return replace(a_delivery(uid), uid=uid, source=SourceKind.MANUAL, source_name="m")


class Noting:
    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, delivery: Delivery, number: int) -> Sent:
        self.sent.append(delivery.uid)
        return Sent(Answer(200))

    async def close(self) -> None: ...


def sender(faults: Faults, held: float = 5.0) -> tuple[FaultySender, Noting, list[News]]:
    noting, told = Noting(), list[News]()
    return FaultySender(noting, faults, VirtualClock(0.0), told.append, held=held), noting, told


async def test_what_is_dropped_is_not_sent() -> None:
    faulty, noting, told = sender(Faults(drop=1.0))
    sent = await faulty.send(delivery("a"), 1)
    assert sent.outcome == Broken(Break.RESET, "the request was dropped on purpose")
    assert noting.sent == []
    assert [(one.what, one.state) for one in told] == [("fault", "drop")]


async def test_an_answer_stands_in_for_that_of_the_target() -> None:
    faulty, noting, _ = sender(Faults(error=1.0, status=599))
    assert (await faulty.send(delivery("a"), 1)).outcome == Answer(599)
    assert noting.sent == []


async def test_what_is_doubled_is_sent_twice() -> None:
    faulty, noting, _ = sender(Faults(duplicate=1.0))
    await faulty.send(delivery("a"), 1)
    assert noting.sent == ["a", "a"]


async def test_one_that_is_held_is_overtaken() -> None:
    faults = next(
        found
        for found in (Faults(seed=seed, reorder=0.5) for seed in range(100))
        if found.happens("reorder", "manual", "m", 1, 1)
        and not found.happens("reorder", "manual", "m", 2, 1)
    )
    faulty, noting, _ = sender(faults)
    held = asyncio.ensure_future(faulty.send(delivery("a"), 1))
    await asyncio.sleep(0)
    await faulty.send(delivery("b"), 1)
    await held
    assert noting.sent == ["b", "a"]


async def test_one_that_nobody_overtakes_goes_on() -> None:
    faulty, noting, _ = sender(Faults(reorder=1.0), held=0.01)
    await faulty.send(delivery("a"), 1)
    assert noting.sent == ["a"]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_ids_of_deliveries_decide_nothing(seed: int) -> None:
    def outcomes(faulty: FaultySender, prefix: str) -> "asyncio.Future[list[Sent]]":
        return asyncio.gather(
            *(faulty.send(delivery(f"{prefix}{number}"), 1) for number in range(20))
        )

    faults = Faults(seed=seed, drop=0.4)
    one, other = sender(faults)[0], sender(faults)[0]
    assert await outcomes(one, "x") == await outcomes(other, "y")
