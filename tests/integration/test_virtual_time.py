"""The trigger layer and the executor on a virtual clock, and the same on a real one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jobrunner.errors import Refused, UsageError
from jobrunner.lib.clock import VirtualClock, WallClock
from tests.support.awaiting import until
from tests.support.receiver import Receiver, receiving
from tests.support.virtual_home import Home, home
from tests.support.waiting import PATIENCE
from triggers.core.records import Ack, HttpTarget, JobTarget, Overlap, ScheduleRetry

START = 1_893_456_000.0
"""2030-01-01T00:00:00Z."""
HOUR = 3600.0


class WallClockFrom(WallClock):
    """Real time; it was ``at`` when it was last set."""

    def __init__(self, at: float) -> None:
        self.set(at)

    def set(self, at: float) -> None:
        self._ahead = at - time.time()

    def now(self) -> float:
        return time.time() + self._ahead


def virtually(folder: Path, work: Callable[[Home], Awaitable[Any]], start: float = START) -> Any:
    async def whole() -> Any:
        async with home(str(folder), VirtualClock(start)) as there:
            return await work(there)

    return asyncio.run(whole())


@pytest.fixture
def receiver() -> Any:
    with receiving() as found:
        yield found


def failing_twice(path: str, count: int) -> int:
    return 500 if count <= 2 else 200


async def flaky_minute(there: Home, url: str) -> None:
    """A call that fails twice before it is accepted, and a job that succeeds at its third try."""
    retry = ScheduleRetry(retry_count=5, min_backoff=0.2, max_backoff=1.0)
    await there.job("flaky", "exit 1 after 300ms; exit 3; exit 0 after 200ms", max_retries=2)
    await there.schedule("call", "* * * * *", HttpTarget(f"{url}/hook"), retry=retry)
    await there.schedule("run", "* * * * *", JobTarget("flaky", ack=Ack.ON_SUCCESS))


def test_both_clocks_give_the_same_record_but_for_ids_times_and_durations(tmp_path: Path) -> None:
    async def really(url: str) -> Any:
        clock = WallClockFrom(START - 50)
        async with home(str(tmp_path / "real"), clock) as there:
            await flaky_minute(there, url)
            clock.set(START - 0.3)
            await until(lambda: [row[2] for row in there.deliveries()] == ["DELIVERED"] * 2)
            await until(lambda: [row[2] for row in there.occurrences()] == ["CLOSED"] * 2)
            return there.record()

    async def virtual(there: Home, url: str) -> Any:
        await flaky_minute(there, url)
        assert (await there.advance(START + 20)).arrived
        return there.record()

    with receiving() as one, receiving() as other:
        one.answer = other.answer = failing_twice
        real = asyncio.run(really(one.url))
        simulated = virtually(
            tmp_path / "virtual", lambda there: virtual(there, other.url), START - 50
        )
    assert simulated == real
    assert [row[3] for row in real["deliveries"]] == [3, 1]
    [(_, state, _, _, attempts)] = real["executions"]
    assert (state, [a[3] for a in attempts]) == ("SUCCEEDED", [1, 3, 0])


def test_what_was_started_at_an_instant_has_settled_before_the_next_one(
    tmp_path: Path, receiver: Receiver
) -> None:
    seen: list[tuple[str, float]] = []

    async def work(there: Home) -> None:
        def answer(path: str, count: int) -> int:
            time.sleep(0.02)
            seen.append((path, there.clock.now()))
            return 200

        receiver.answer = answer
        for name, minute in (("a", 10), ("b", 20), ("c", 10)):
            target = HttpTarget(f"{receiver.url}/{name}")
            await there.schedule(name, f"{minute} * * * *", target)
        moved = await there.advance(START + 2 * HOUR)
        assert moved.arrived
        assert moved.now == there.clock.now() == START + 2 * HOUR

    virtually(tmp_path, work)
    assert [at - START for _, at in seen] == [600, 600, 1200, 4200, 4200, 4800]


def test_a_back_off_of_hours_takes_no_time(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = failing_twice
    retry = ScheduleRetry(retry_count=5, min_backoff=1800, max_backoff=7200)

    async def work(there: Home) -> Any:
        await there.schedule("daily", "0 1 * * *", HttpTarget(receiver.url), retry=retry)
        await there.advance(START + 12 * HOUR)
        [delivery] = there.layer.store.listing(_any())
        return there.layer.store.attempts(delivery.uid)

    began = time.monotonic()
    attempts = virtually(tmp_path, work)
    assert [a.started_at - START - HOUR for a in attempts] == [0, 1800, 5400]
    assert time.monotonic() - began < 20


def test_scripted_durations_pass_with_the_clock_and_overlap_sees_them(tmp_path: Path) -> None:
    async def work(there: Home) -> Any:
        await there.job("slow", "exit 0 after 90m", timeout=2 * HOUR)
        target = JobTarget("slow")
        await there.schedule("hourly", "0 * * * *", target, overlap=Overlap.FORBID)
        await there.schedule("anew", "30 * * * *", target, overlap=Overlap.REPLACE)
        await there.advance(START + 5 * HOUR + 60)
        runs = {e.uid: e for e in there.store.list_executions(("local", "us-central1"))}
        return there.occurrences(), list(runs.values())

    occurrences, runs = virtually(tmp_path, work)
    hourly = [row[2] for row in occurrences if row[0] == "hourly"]
    assert hourly == ["CLOSED", "SKIPPED", "CLOSED", "SKIPPED", "OPEN"]
    cancelled = [run for run in runs if run.state == "CANCELLED"]
    assert len(cancelled) == 4, "each but the last of 'anew' was replaced after an hour"
    assert all(run.completed_at - run.created_at == HOUR for run in cancelled)
    whole = [run for run in runs if run.state == "SUCCEEDED"]
    assert [run.completed_at - run.created_at for run in whole] == [5400, 5400]


def test_one_that_does_not_end_is_named_and_the_clock_stands(
    tmp_path: Path, receiver: Receiver
) -> None:
    import threading

    free = threading.Event()

    def answer(path: str, count: int) -> int:
        free.wait(PATIENCE)
        return 200

    receiver.answer = answer

    async def work(there: Home) -> None:
        await there.schedule("stuck", "0 * * * *", HttpTarget(receiver.url))
        # A machine that is busy may not have it on its way by then.
        while not receiver.began:
            await there.advance(START + 3 * HOUR, patience=0.1)
        moved = await there.advance(START + 3 * HOUR, patience=0.1)
        assert (moved.arrived, moved.now) == (False, START + HOUR)
        assert any("stuck" in what and "on its way to 127.0.0.1" in what for what in moved.doing)
        free.set()
        moved = await there.advance(START + 3 * HOUR)
        assert moved.arrived
        assert [row[2] for row in there.deliveries()] == ["DELIVERED"] * 3

    virtually(tmp_path, work)


def test_time_does_not_go_back_and_is_moved_by_one_at_a_time(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answer = lambda path, count: time.sleep(0.2) or 200

    async def work(there: Home) -> None:
        with pytest.raises(UsageError):
            await there.advance(START - 1)
        await there.schedule("hourly", "0 * * * *", HttpTarget(receiver.url))
        first = asyncio.ensure_future(there.advance(START + HOUR))
        await asyncio.sleep(0)
        with pytest.raises(Refused):
            await there.advance(START + HOUR)
        assert (await first).arrived

    virtually(tmp_path, work)


def test_what_is_old_goes_when_virtual_time_says_so(tmp_path: Path, receiver: Receiver) -> None:
    async def work(there: Home) -> int:
        await there.schedule("once", "0 1 1 1 *", HttpTarget(receiver.url))
        await there.advance(START + 2 * HOUR)
        assert len(there.deliveries()) == 1
        await there.advance(START + 6 * 24 * HOUR)
        assert len(there.deliveries()) == 1, "kept for a week"
        await there.advance(START + 9 * 24 * HOUR)
        return len(there.deliveries())

    assert virtually(tmp_path, work) == 0


def _any() -> Any:
    from tests.support.virtual_home import layer_filter

    return layer_filter()


EXPRESSIONS = st.one_of(
    st.builds(
        "{} {} * * *".format,
        st.integers(0, 59),
        st.sampled_from(["*", "*/3", "1-5", "2,14"]),
    ),
    st.builds("every {} minutes".format, st.integers(20, 90)),
    st.builds("*/{} * * * *".format, st.sampled_from([20, 30])),
)
SCHEDULES = st.lists(
    st.tuples(
        EXPRESSIONS,
        st.sampled_from(["exit 0", "exit 0 after 50m", "exit 1 after 10m; exit 0 after 25m"]),
        st.sampled_from(list(Overlap)),
        st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/New_York"]),
    ),
    min_size=1,
    max_size=2,
)


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate])
@given(SCHEDULES, st.lists(st.integers(1, 5 * 3600), min_size=1, max_size=4))
def test_one_step_or_many_give_the_same_record(
    tmp_path_factory: pytest.TempPathFactory, wanted: Any, stops: list[int]
) -> None:
    def run(targets: list[float]) -> Any:
        async def work(there: Home) -> Any:
            for number, (expression, script, overlap, zone) in enumerate(wanted):
                await there.job(f"job-{number}", script, max_retries=1)
                await there.schedule(
                    f"schedule-{number}", expression, JobTarget(f"job-{number}"),
                    overlap=overlap, time_zone=zone,
                )  # fmt: skip
            for target in targets:
                assert (await there.advance(target)).arrived
            return there.record()

        return virtually(tmp_path_factory.mktemp("home"), work)

    end = START + 5 * HOUR
    assert run([*sorted(START + stop for stop in stops), end]) == run([end])
