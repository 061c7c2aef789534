"""A stream acknowledges what its consumer has taken, holds no more than it may, and keeps order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jobrunner.errors import StoreFault
from tests.support.awaiting import until
from triggers.core.events import PubsubMessage
from triggers.event_ports import Consumer, PubsubSource, Response
from triggers.sources import pull_stream
from triggers.sources.pubsub_link import Link, LinkFault, Received
from triggers.sources.pull import Puller
from triggers.sources.pull_stream import Stream, StreamLimits

ACK, REFUSE, LATER = Response.ACKNOWLEDGE, Response.REFUSE, Response.LATER
NAME = "projects/p/subscriptions/s"
QUICK = StreamLimits(most=10, most_unheeded=10, size=1000, deadline=10.0, patience=0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE", "LATER_SECONDS", "FAULT_SECONDS"):
        monkeypatch.setattr(pull_stream, name, 0.005)


class FakeLink:
    """``arrive`` brings messages, ``break_off`` ends the stream that is open."""

    def __init__(self, *, forgets: bool = False, spaced: bool = True) -> None:
        self.forgets = forgets
        self.heeds_bounds = True
        self.spaced = spaced
        self.acknowledged: list[str] = []
        self.leases: list[tuple[str, float]] = []
        self.wires: list[asyncio.Queue[list[Received] | LinkFault]] = []
        self.prepared = 0
        self.transient: set[str] = set()
        self.closed = False

    def arrive(self, *ids: str, size: int = 1, stream: int = -1) -> None:
        several = [Received(f"ack-{one}", a_message(one), size) for one in ids]
        self.wires[stream].put_nowait(several)

    def break_off(self, code: str = "UNAVAILABLE") -> None:
        self.wires[-1].put_nowait(LinkFault(code, "gone"))

    async def prepare(self, source: PubsubSource) -> bool:
        self.prepared += 1
        return self.spaced

    async def messages(
        self, source: PubsubSource, *, deadline: float, most: int, size: int
    ) -> AsyncGenerator[Sequence[Received], None]:
        wire: asyncio.Queue[list[Received] | LinkFault] = asyncio.Queue()
        self.wires.append(wire)
        while True:
            found = await wire.get()
            if isinstance(found, LinkFault):
                raise found
            yield found

    async def acknowledge(self, subscription: str, ids: Sequence[str]) -> Sequence[str]:
        again = [one for one in ids if one in self.transient]
        self.transient -= set(again)
        self.acknowledged += [one for one in ids if one not in again]
        return again

    async def extend(self, subscription: str, ids: Sequence[str], seconds: float) -> None:
        self.leases += [(one, seconds) for one in ids]

    async def close(self) -> None:
        self.closed = True

    @property
    def given_back(self) -> list[str]:
        return [ack_id for ack_id, seconds in self.leases if seconds == 0]


class FakeConsumer:
    """Says what ``say`` says of each message."""

    def __init__(self, say: Callable[[str], Any] = lambda text: ACK, key: str = "k") -> None:
        self.say = say
        self.key = key
        self.source = PubsubSource(NAME)
        self.offered: list[list[str]] = []
        self.faults = 0

    async def take(
        self, messages: Sequence[PubsubMessage]
    ) -> Sequence[Response | Awaitable[Response]]:
        self.offered.append([one.message_id for one in messages])
        if self.faults:
            self.faults -= 1
            raise StoreFault("away")
        return [self.say(one.message_id) for one in messages]

    @property
    def flat(self) -> list[str]:
        return [one for several in self.offered for one in several]


def a_message(name: str) -> PubsubMessage:
    return PubsubMessage(name, "2026-01-01T00:00:00Z", 1767225600.0, b"x")


@asynccontextmanager
async def streaming(link: FakeLink, consumer: FakeConsumer) -> AsyncIterator[Stream]:
    stream = Stream(link, consumer, QUICK)
    task = asyncio.ensure_future(stream.run())
    await until(lambda: bool(link.wires))
    try:
        yield stream
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_the_consumer_has_taken_is_acknowledged_and_nothing_else() -> None:
    link, consumer = FakeLink(), FakeConsumer(lambda name: REFUSE if name == "b" else ACK)
    async with streaming(link, consumer) as stream:
        link.arrive("a", "b", "c")
        await until(lambda: len(link.acknowledged) == 2 and bool(link.given_back))
        assert link.acknowledged == ["ack-a", "ack-c"]
        assert link.given_back == ["ack-b"]
        assert stream.counts.acknowledged == 2


async def test_what_has_no_room_is_offered_again_before_what_came_after_it() -> None:
    room: set[str] = {"a"}
    link, consumer = FakeLink(), FakeConsumer(lambda name: ACK if name in room else LATER)
    async with streaming(link, consumer):
        link.arrive("a", "b")
        await until(lambda: consumer.flat.count("b") >= 2)
        link.arrive("c")
        await until(lambda: ["b", "c"] in consumer.offered)
        room.update("bc")
        await until(lambda: link.acknowledged == ["ack-a", "ack-b", "ack-c"])
        assert link.given_back == []


async def test_no_more_is_read_than_may_be_held() -> None:
    link, consumer = FakeLink(), FakeConsumer(lambda name: LATER)
    async with streaming(link, consumer):
        for number in range(20):
            link.arrive(str(number))
        await until(lambda: len(set(consumer.flat)) == QUICK.most)
        await asyncio.sleep(0.05)
        assert link.wires[-1].qsize() == 20 - QUICK.most
        consumer.say = lambda name: ACK
        await until(lambda: len(link.acknowledged) == 20)


async def test_a_sender_that_does_not_stop_is_hung_up_on_until_there_is_room() -> None:
    """What it had sent to nobody comes again; what is held stays good."""
    link, consumer = FakeLink(forgets=True), FakeConsumer(lambda name: LATER)
    link.heeds_bounds = False
    async with streaming(link, consumer):
        for number in range(20):
            link.arrive(str(number))
        await until(lambda: len(set(consumer.flat)) == QUICK.most)
        await asyncio.sleep(0.05)
        assert (len(link.wires), link.prepared) == (1, 1)
        consumer.say = lambda name: ACK
        await until(lambda: len(link.wires) == 2)
        link.arrive(*map(str, range(10, 20)))
        await until(lambda: len(link.acknowledged) == 20)
        assert link.given_back == []


async def test_large_messages_count_by_their_size() -> None:
    link, consumer = FakeLink(), FakeConsumer(lambda name: LATER)
    async with streaming(link, consumer):
        for number in range(5):
            link.arrive(str(number), size=600)
        await until(lambda: len(set(consumer.flat)) == 2)
        await asyncio.sleep(0.05)
        assert link.wires[-1].qsize() == 3


async def test_leases_are_extended_for_as_long_as_an_answer_takes() -> None:
    answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    link, consumer = FakeLink(), FakeConsumer(lambda name: answer)
    async with streaming(link, consumer):
        link.arrive("a")
        await until(lambda: ("ack-a", QUICK.deadline) in link.leases)
        assert link.acknowledged == []
        answer.set_result(ACK)
        await until(lambda: link.acknowledged == ["ack-a"])


async def test_a_refusal_is_held_back_where_pub_sub_would_send_it_again_at_once() -> None:
    link, consumer = FakeLink(spaced=False), FakeConsumer(lambda name: REFUSE)
    async with streaming(link, consumer):
        loop = asyncio.get_running_loop()
        took = []
        for number in range(3):
            began = loop.time()
            link.arrive(str(number))
            await until(lambda: f"ack-{number}" in link.given_back)  # noqa: B023
            took.append(loop.time() - began)
        assert took[0] >= 0.09
        assert took[1] >= 0.19
        assert took[2] >= 0.39


async def test_a_broken_stream_is_opened_again_and_what_is_held_stays_good() -> None:
    answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    link, consumer = FakeLink(), FakeConsumer(lambda name: answer if name == "old" else ACK)
    async with streaming(link, consumer):
        link.arrive("old")
        await until(lambda: bool(consumer.offered))
        link.break_off()
        await until(lambda: len(link.wires) == 2)
        answer.set_result(ACK)
        await until(lambda: link.acknowledged == ["ack-old"])


async def test_ids_of_before_a_restart_of_the_emulator_are_not_used_any_more() -> None:
    """One of them may name another message by now: to acknowledge it would lose that one."""
    answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    link = FakeLink(forgets=True)
    consumer = FakeConsumer(lambda name: answer if name == "1" else LATER)
    async with streaming(link, consumer) as stream:
        link.arrive("1")
        await until(lambda: bool(consumer.offered))
        link.break_off()
        await until(lambda: len(link.wires) == 2)
        assert link.prepared == 2
        consumer.say = lambda name: LATER
        link.arrive("1")
        await until(lambda: len(consumer.offered) >= 2)
        answer.set_result(ACK)
        await asyncio.sleep(0.05)
        assert link.acknowledged == []
        assert stream.counts.acknowledged == 0
        consumer.say = lambda name: ACK
        await until(lambda: link.acknowledged == ["ack-1"])


async def test_what_a_store_that_was_away_could_not_take_is_offered_again_in_its_order() -> None:
    link, consumer = FakeLink(), FakeConsumer()
    consumer.faults = 2
    async with streaming(link, consumer):
        link.arrive("a", "b")
        await until(lambda: link.acknowledged == ["ack-a", "ack-b"])
        assert consumer.offered == [["a", "b"]] * 3


async def test_a_bug_in_a_consumer_is_not_the_end_of_the_stream() -> None:
    link, consumer = FakeLink(), FakeConsumer()

    async def broken() -> Response:
        raise RuntimeError("bug")

    consumer.say = lambda name: broken() if name == "a" else ACK
    async with streaming(link, consumer):
        link.arrive("a", "b")
        await until(lambda: link.acknowledged == ["ack-b"] and link.given_back == ["ack-a"])


async def test_an_acknowledgement_that_failed_for_the_moment_is_tried_again() -> None:
    link, consumer = FakeLink(), FakeConsumer()
    link.transient = {"ack-a"}
    async with streaming(link, consumer):
        link.arrive("a", "b")
        await until(lambda: sorted(link.acknowledged) == ["ack-a", "ack-b"])


async def test_a_stream_that_ends_gives_back_what_it_holds() -> None:
    link, consumer = FakeLink(), FakeConsumer(lambda name: LATER)
    async with streaming(link, consumer):
        link.arrive("a", "b")
        await until(lambda: len(set(consumer.flat)) == 2)
    assert sorted(link.given_back) == ["ack-a", "ack-b"]
    assert link.acknowledged == []


# ---------------------------------------------------------------- all of them


async def test_streams_follow_the_consumers_that_there_are() -> None:
    link = FakeLink()
    first, second = FakeConsumer(key="a/1"), FakeConsumer(key="a/2")
    wanted: list[Consumer] = [first]

    async def linked() -> Link:
        return link

    puller = Puller([lambda: wanted, list], link=linked, limits=QUICK, poll=0.01)
    task = asyncio.ensure_future(puller.run())
    await until(lambda: len(link.wires) == 1)
    link.arrive("x")
    await until(lambda: link.acknowledged == ["ack-x"])
    wanted[:] = [second]
    puller.look()
    await until(lambda: list(puller.counts) == ["a/2"] and len(link.wires) == 2)
    link.arrive("y")
    await until(lambda: second.flat == ["y"])
    wanted.clear()
    await until(lambda: not puller.counts)
    task.cancel()
    await asyncio.wait([task])
    assert link.closed


async def test_without_the_package_or_credentials_it_is_said_once_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triggers.sources import pull

    monkeypatch.setattr(pull, "LINK_SECONDS", 0.005)
    tries = []

    async def linked() -> Link:
        tries.append(1)
        raise LinkFault("UNIMPLEMENTED", "it is not installed")

    puller = Puller([lambda: [FakeConsumer()]], link=linked, limits=QUICK, poll=0.005)
    task = asyncio.ensure_future(puller.run())
    await until(lambda: len(tries) >= 3)
    task.cancel()
    await asyncio.wait([task])
    assert [record.getMessage() for record in caplog.records] == [
        "Nothing can be pulled: it is not installed"
    ]


async def test_a_consumer_is_ready_once_its_subscription_is_there_and_no_earlier() -> None:
    door = asyncio.Event()

    class SlowLink(FakeLink):
        async def prepare(self, source: PubsubSource) -> bool:
            await door.wait()
            return await super().prepare(source)

    link = SlowLink()

    async def linked() -> Link:
        return link

    wanted: list[Consumer] = []
    puller = Puller([lambda: wanted], link=linked, limits=QUICK, poll=60.0)
    task = asyncio.ensure_future(puller.run())
    await asyncio.sleep(0)
    wanted.append(FakeConsumer(key="a/1"))
    ready = asyncio.ensure_future(puller.ready("a"))
    await until(lambda: list(puller.counts) == ["a/1"])
    assert not ready.done()
    assert not link.prepared
    door.set()
    await ready
    assert link.prepared == 1
    await asyncio.wait_for(puller.ready("nobody"), 30.0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.wait_for(puller.ready("a"), 30.0)


async def test_a_consumer_whose_subscription_cannot_be_made_is_not_waited_for() -> None:
    class BrokenLink(FakeLink):
        async def prepare(self, source: PubsubSource) -> bool:
            raise LinkFault("UNAVAILABLE", "nobody is there")

    async def linked() -> Link:
        return BrokenLink()

    puller = Puller([lambda: [FakeConsumer(key="a/1")]], link=linked, limits=QUICK, poll=60.0)
    task = asyncio.ensure_future(puller.run())
    await asyncio.sleep(0)
    await asyncio.wait_for(puller.ready("a"), 30.0)
    assert puller.trouble("a") == "nobody is there"
    task.cancel()
    await asyncio.wait([task])
