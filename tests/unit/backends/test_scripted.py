"""The scripted backend does what its script says, in time that nobody has to wait for."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from jobrunner.backends.scripted import (
    Ending,
    Exit,
    Hang,
    Killed,
    Late,
    OutOfMemory,
    Refuse,
    ScriptedBackend,
    Vanish,
)
from jobrunner.core.records import AttemptKey, ExitStatus
from jobrunner.core.states import StopReason
from jobrunner.errors import AttemptVanished, BackendFault, LaunchFailed
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.framelog import read_frames
from jobrunner.ports import LaunchSpec, Running, Vanished
from tests.support.backends import make_template


class VirtualTime(FakeClock):
    """Moves to the next due instant as soon as everybody sleeps."""

    def __init__(self) -> None:
        super().__init__(1000.0)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now() + seconds, self._count, future))
        await future

    async def drive(self, work: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(20):
                await asyncio.sleep(0)
            self._sleepers = [entry for entry in self._sleepers if not entry[2].done()]
            if not task.done() and self._sleepers:
                due = min(self._sleepers)
                self._sleepers.remove(due)
                self.advance(max(0.0, due[0] - self.now()))
                due[2].set_result(None)
        return await task


class Play:
    """One attempt after the other, by their ending; ``time`` starts at 1000."""

    def __init__(self, tmp_path: Path, *endings: Ending) -> None:
        self.time = VirtualTime()
        self.backend = ScriptedBackend(
            lambda index, number: endings[index], clock=self.time, sleep=self.time.sleep
        )
        self.logs = tmp_path

    def spec(self, index: int = 0, number: int = 0, lease: int = 1, **fields: Any) -> LaunchSpec:
        template = make_template(("x",), self.logs, **fields)
        log = f"{self.logs}/{index}-{number}"
        return LaunchSpec(AttemptKey("e", index, number), template, lease, {}, log)

    async def end(self, index: int = 0, **fields: Any) -> ExitStatus:
        launched = await self.backend.launch(self.spec(index, **fields))
        return await self.backend.wait(launched.handle)


Player = Callable[..., Play]


@pytest.fixture
def play(tmp_path: Path) -> Player:
    return lambda *endings: Play(tmp_path, *endings)


async def test_an_attempt_ends_as_ordered_and_when(play: Player) -> None:
    scene = play(Exit(3, after=5.0), Killed(11, after=2.0), OutOfMemory(after=1.0))
    for index, (code, number, oom, lasted) in enumerate(
        [(3, None, False, 5.0), (None, 11, False, 2.0), (None, 9, True, 1.0)]
    ):
        begun = scene.time.now()
        end = await scene.time.drive(scene.end(index))
        assert (end.code, end.signal, end.oom) == (code, number, oom)
        assert (end.started_at, end.ended_at) == (begun, begun + lasted)
        assert scene.time.now() == begun + lasted


async def test_a_mapping_names_the_odd_ones_and_the_rest_succeeds(tmp_path: Path) -> None:
    backend = ScriptedBackend({(1, 0): Exit(4)})
    template = make_template(("x",), tmp_path)
    codes = []
    for index, number in ((0, 0), (1, 0), (1, 1)):
        spec = LaunchSpec(AttemptKey("e", index, number), template, 1)
        end = await backend.wait((await backend.launch(spec)).handle)
        codes.append(end.code)
    assert codes == [0, 4, 0]


@pytest.mark.parametrize("permanent", [True, False])
async def test_a_refused_launch_leaves_nothing(play: Player, permanent: bool) -> None:
    scene = play(Refuse(permanent, "no", "BadDay"))
    with pytest.raises(LaunchFailed) as caught:
        await scene.backend.launch(scene.spec())
    error = caught.value
    assert (error.permanent, error.message, error.reason) == (permanent, "no", "BadDay")
    assert scene.backend.running() == []
    assert [found async for found in scene.backend.discover()] == []
    assert len(scene.backend.launches) == 1


async def test_what_vanishes_is_running_until_then(play: Player) -> None:
    scene = play(Vanish(after=3.0))
    launched = await scene.backend.launch(scene.spec())
    assert isinstance(await scene.backend.inspect(launched.handle), Running)
    with pytest.raises(AttemptVanished):
        await scene.time.drive(scene.backend.wait(launched.handle))
    assert scene.time.now() == 1003.0
    (found,) = [found async for found in scene.backend.discover()]
    assert isinstance(found.sighting, Vanished)


async def test_a_late_answer_keeps_the_attempt_running_meanwhile(play: Player) -> None:
    scene = play(Late(Exit(2, after=10.0), answer=4.0, report=1.0))
    asking = asyncio.ensure_future(scene.backend.launch(scene.spec()))
    await asyncio.sleep(0)
    assert scene.backend.running() == [AttemptKey("e", 0, 0)]
    launched = await scene.time.drive(asking)
    assert (scene.time.now(), launched.at) == (1004.0, 1000.0)
    end = await scene.time.drive(scene.backend.wait(launched.handle))
    assert (scene.time.now(), end.ended_at) == (1011.0, 1010.0)


@pytest.mark.parametrize(
    ("ending", "grace", "code", "number", "lasts"),
    [
        (Hang(), 10.0, None, 15, 0.0),
        (Hang(code=3, after_term=2.0), 10.0, 3, None, 2.0),
        (Hang(after_term=20.0), 10.0, None, 9, 10.0),
        (Hang(obeys=False), 10.0, None, 9, 10.0),
        (Hang(), 0.0, None, 9, 0.0),
        (Exit(0, after=60.0), 10.0, None, 15, 0.0),
        (Killed(11, after=60.0), 10.0, None, 15, 0.0),
    ],
)
async def test_a_stop_order_ends_it_as_the_script_says(
    play: Player, ending: Ending, grace: float, code: int | None, number: int | None, lasts: float
) -> None:
    scene = play(ending)
    launched = await scene.backend.launch(scene.spec())
    waiting = asyncio.ensure_future(scene.backend.wait(launched.handle))
    await asyncio.sleep(0)
    scene.time.advance(5.0)
    await scene.backend.stop(launched.handle, grace=grace)
    end = await scene.time.drive(waiting)
    assert (end.code, end.signal, end.stopped) == (code, number, None)
    assert end.ended_at == 1005.0 + lasts
    assert [(stop.grace, stop.at) for stop in scene.backend.stops] == [(grace, 1005.0)]


async def test_the_shorter_grace_wins(play: Player) -> None:
    scene = play(Hang(obeys=False))
    launched = await scene.backend.launch(scene.spec())
    for grace in (100.0, 7.0, 50.0):
        await scene.backend.stop(launched.handle, grace=grace)
    end = await scene.time.drive(scene.backend.wait(launched.handle))
    assert end.ended_at == 1007.0


async def test_a_timeout_is_enforced_with_the_grace_of_the_template(play: Player) -> None:
    scene = play(Hang(obeys=False), Exit(0, after=29.0))
    end = await scene.time.drive(scene.end(0, timeout=30.0, grace=4.0))
    assert (end.signal, end.stopped, end.ended_at) == (9, StopReason.TIMEOUT, 1034.0)
    end = await scene.time.drive(scene.end(1, timeout=30.0))
    assert (end.code, end.stopped) == (0, None)


async def test_output_is_written_to_the_log(play: Player) -> None:
    scene = play(Exit(0, out=b"hello\n", err=b"oh\n"))
    end = await scene.time.drive(scene.end())
    frames = [(frame.stream, frame.data) for frame in read_frames(f"{scene.logs}/0-0")]
    assert frames == [(1, b"hello\n"), (2, b"oh\n")]
    assert end.output == 9


def test_it_survives_the_runner_and_its_loop(tmp_path: Path) -> None:
    scene = Play(tmp_path, Exit(6, after=10.0), Hang())

    async def first() -> None:
        one = await scene.backend.launch(scene.spec(0))
        await scene.backend.launch(scene.spec(1))
        asyncio.ensure_future(scene.backend.wait(one.handle))  # noqa: RUF006
        await asyncio.sleep(0)
        await scene.backend.close()

    async def second() -> None:
        found = {item.key.index: item async for item in scene.backend.discover()}
        assert all(isinstance(item.sighting, Running) for item in found.values())
        end = await scene.time.drive(scene.backend.wait(found[0].handle))
        assert end.code == 6
        await scene.backend.stop(found[1].handle, grace=1.0)
        assert (await scene.backend.wait(found[1].handle)).signal == 15
        await scene.backend.discard(found[0].handle)
        assert [item.key.index async for item in scene.backend.discover()] == [1]

    asyncio.run(first())
    asyncio.run(second())
    assert [record.key.index for record in scene.backend.discards] == [0]


async def test_the_record_says_who_was_launched_again_and_how_many_ran_at_once(
    play: Player,
) -> None:
    scene = play(*[Exit(0, after=5.0)] * 4)
    for index in (0, 1, 2):
        await scene.backend.launch(scene.spec(index))
    await scene.backend.launch(scene.spec(1))
    scene.time.advance(6.0)
    await scene.backend.launch(scene.spec(3))
    assert [(r.key.index, r.at, r.again) for r in scene.backend.launches] == [
        (0, 1000.0, False),
        (1, 1000.0, False),
        (2, 1000.0, False),
        (1, 1000.0, True),
        (3, 1006.0, False),
    ]
    assert scene.backend.peak == 3
    assert scene.backend.running() == [AttemptKey("e", 3, 0)]


async def test_a_strange_handle_is_refused_by_name(play: Player) -> None:
    with pytest.raises(BackendFault, match="'process:1' is no handle of the scripted backend"):
        await play(Exit(0)).backend.wait("process:1")
