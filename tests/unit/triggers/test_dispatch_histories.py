"""Whatever happens in whatever order: nothing is lost, nothing comes after its end, order and
bounds are kept, and only a lease that ran out brings a delivery to two runners."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.core.states import ExecutionState
from tests.support.deliveries import NOW, a_delivery
from tests.support.dispatching import Bench, breathe, run_end
from triggers.core.records import (
    Ack,
    Delivery,
    HttpTarget,
    JobTarget,
    QueueRetry,
    SourceKind,
)
from triggers.core.states import SETTLED_DELIVERIES
from triggers.core.verdict import Answer, Break, Broken, Outcome
from triggers.ports import DeliveryFilter, Sent, place_of
from triggers.service import moves
from triggers.service.dispatch import Dispatcher

RETRY = QueueRetry(max_attempts=-1, min_backoff=1.0, max_backoff=20.0)
OUTCOMES: list[Outcome] = [Answer(200), Answer(500), Broken(Break.CONNECT), Answer(404)]
IN_FLIGHT, PER_TARGET = 5, 3


@dataclass
class Call:
    delivery: Delivery
    future: "asyncio.Future[Sent]"


@dataclass
class Machine:
    """A runner: its dispatcher, and the calls it has on the wire."""

    name: str
    dispatcher: Dispatcher
    wire: dict[str, Call] = field(default_factory=dict)


class Wire:
    """One sender for all; notes who calls what, and checks the order."""

    def __init__(self, world: "World", machine: Machine) -> None:
        self.world = world
        self.machine = machine

    async def send(self, delivery: Delivery, number: int) -> Sent:
        # What is raised here the dispatcher takes for a broken call.
        try:
            self.world.starts(self.machine, delivery)
        except AssertionError as broken:
            self.world.broken.append(broken)
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self.machine.wire[delivery.uid] = Call(delivery, future)
        try:
            return await future
        finally:
            self.machine.wire.pop(delivery.uid, None)

    async def close(self) -> None: ...


class World:
    def __init__(self) -> None:
        self.bench = Bench(in_flight=IN_FLIGHT, per_target=PER_TARGET)
        self.machines: list[Machine] = []
        self.opened: list[Delivery] = []
        self.settled: dict[str, Delivery] = {}
        self.names = 0
        self.runs = 0
        self.broken: list[AssertionError] = []
        for _ in range(2):
            self.boot()

    # ------------------------------------------------------------ what can happen

    def boot(self) -> None:
        self.names += 1
        name = f"runner {self.names}"
        machine = Machine(name, self.bench.another(name))
        machine.dispatcher._flights._sender = Wire(self, machine)
        self.machines.append(machine)

    def open(self, count: int, source: int, order: int, host: int) -> None:
        for _ in range(count):
            self.open_one(source, order, host)

    def open_one(self, source: int, order: int, host: int) -> None:
        key = str(len(self.opened))
        target: HttpTarget | JobTarget = HttpTarget(f"http://h{host}.example.com/")
        if host == 2:
            target = JobTarget("job", ack=Ack.ON_SUCCESS)
        delivery = a_delivery(
            key,
            source=SourceKind.QUEUE,
            source_name=f"q{source}",
            order_key=f"k{order}" if order else None,
            target=target,
            retry=RETRY,
            not_before=self.bench.clock.now(),
        )
        assert self.bench.store.open(delivery) == delivery
        again = self.bench.store.open(delivery)
        assert again.uid == delivery.uid
        self.opened.append(delivery)

    async def turn(self, which: int) -> None:
        machine = self.machines[which % len(self.machines)]
        await machine.dispatcher.turn()
        await breathe()

    async def answer(self, which: int, what: int) -> None:
        calls = [call for machine in self.machines for call in machine.wire.values()]
        if not calls:
            return
        call = calls[which % len(calls)]
        outcome = OUTCOMES[what % len(OUTCOMES)]
        if isinstance(call.delivery.target, JobTarget):
            self.runs += 1
            self.bench.runner.start(f"e{self.runs}")
            outcome = run_end(f"e{self.runs}")
        call.future.set_result(Sent(outcome))
        await breathe()

    async def end_a_run(self, which: int, what: int) -> None:
        runs = [one for one in self.bench.runner.executions.values() if one.completed_at is None]
        if runs:
            states = [ExecutionState.SUCCEEDED, ExecutionState.FAILED]
            self.bench.runner.end(runs[which % len(runs)].uid, states[what % 2])
            await breathe()

    async def kill(self, which: int) -> None:
        """The process is gone with all that it had on the wire and not stored."""
        machine = self.machines.pop(which % len(self.machines))
        machine.dispatcher._followers.stop()
        for flight in list(machine.dispatcher._flights._flights.values()):
            if flight.task is not None:
                flight.task.cancel()
        await breathe()
        self.boot()

    async def freeze(self, which: int) -> None:
        """All but one stand still for longer than a lease."""
        self.bench.clock.advance(16.0)
        await self.turn(which)
        await self.turn(which)

    def withdraw(self, which: int) -> None:
        if self.opened:
            found = self.bench.store.get(self.opened[which % len(self.opened)].uid)
            if found.state not in SETTLED_DELIVERIES:
                now = self.bench.clock.now()
                assert self.bench.store.record([moves.withdrawn(found, now, "me")]) == [True]

    # ------------------------------------------------------------ what must hold

    def starts(self, machine: Machine, delivery: Delivery) -> None:
        assert delivery.uid not in self.settled, "sent after its end"
        assert delivery.uid not in machine.wire, "on the wire twice"
        now = self.bench.clock.now()
        stored = self.bench.store.get(delivery.uid)
        assert stored.lease_owner == machine.name, "sent without holding it"
        assert stored.lease_until is not None
        assert stored.lease_until > now
        if delivery.order_key is None:
            return
        for other in self.opened[: int(delivery.key)]:
            same = (other.source_name, other.order_key)
            if same == (delivery.source_name, delivery.order_key):
                found = self.bench.store.get(other.uid)
                assert found.state in SETTLED_DELIVERIES, "overtook an earlier one of its key"

    def check(self) -> None:
        for broken in self.broken:
            raise broken
        for machine in self.machines:
            assert len(machine.wire) <= IN_FLIGHT
            places = Counter(place_of(call.delivery.target) for call in machine.wire.values())
            assert max(places.values(), default=0) <= PER_TARGET
        everything = self.bench.store.listing(DeliveryFilter())
        assert len(everything) == len(self.opened), "lost"
        for one in everything:
            if one.uid in self.settled:
                assert one == self.settled[one.uid], "changed after its end"
            elif one.state in SETTLED_DELIVERIES:
                self.settled[one.uid] = one
            numbers = [attempt.number for attempt in self.bench.store.attempts(one.uid)]
            assert numbers == list(range(1, one.attempts + one.unknown + 1))

    async def finish(self) -> None:
        """From here on every target says yes."""
        for _ in range(40 + 4 * len(self.opened)):
            for which in range(len(self.machines)):
                await self.turn(which)
            self.check()
            for machine in self.machines:
                for _ in list(machine.wire):
                    await self.answer(0, 0)
            for _ in range(len(self.bench.runner.executions)):
                await self.end_a_run(0, 0)
            for which in range(len(self.machines)):
                await self.turn(which)
            self.check()
            if len(self.settled) == len(self.opened):
                return
            self.bench.clock.advance(5)
        left = [one for one in self.opened if one.uid not in self.settled]
        raise AssertionError(f"never came to an end: {left}")


N = st.integers(0, 30)
SMALL = st.integers(0, 2)
STEP = st.one_of(
    st.tuples(st.just("open"), st.integers(1, 5), st.integers(0, 1), SMALL, SMALL),
    st.tuples(st.just("turn"), N),
    st.tuples(st.just("turn"), N),
    st.tuples(st.just("answer"), N, N),
    st.tuples(st.just("end_a_run"), N, N),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 1.0, 4.0, 6.0, 16.0])),
    st.tuples(st.just("kill"), N),
    st.tuples(st.just("freeze"), N),
    st.tuples(st.just("withdraw"), N),
)


@settings(max_examples=150)
@given(st.lists(STEP, max_size=70))
def test_no_history_loses_reorders_overruns_or_revives_a_delivery(
    steps: list[tuple[object, ...]],
) -> None:
    async def play() -> None:
        world = World()
        for name, *values in steps:
            if name == "advance":
                world.bench.clock.advance(values[0])  # type: ignore[arg-type]
            else:
                done = getattr(world, str(name))(*values)
                if asyncio.iscoroutine(done):
                    await done
            world.check()
        await world.finish()
        for machine in world.machines:
            machine.dispatcher._followers.stop()
        assert world.bench.clock.now() >= NOW

    asyncio.run(play())
