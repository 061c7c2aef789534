"""What every sender promises, whatever it calls."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from jobrunner.core.records import Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.service.parts import Ground
from tests.support.control import Control
from triggers.core.records import (
    Delivery,
    HttpTarget,
    JobTarget,
    PubsubTarget,
    ScheduleRetry,
    SourceKind,
    Target,
)
from triggers.core.verdict import Answer, Break, Broken, Outcome
from triggers.ports import Sender, Sent
from triggers.senders.http import HttpSender
from triggers.senders.job import JobSender
from triggers.senders.keyring import Keyring
from triggers.senders.options import SenderOptions
from triggers.senders.sending import make_senders
from triggers.senders.tokens import LocalTokens

SCOPE = Scope()


@dataclass
class Case:
    """A sender, a target that accepts, one that does not, and one that cannot be called."""

    sender: Sender
    good: Target
    bad: Target
    other: Target


Open = Callable[[Control, str, str], Case]


def http(control: Control, url: str, home: str) -> Case:
    tokens = LocalTokens(Keyring(home, control.clock), url, control.clock)
    sender = HttpSender(SenderOptions(), tokens, control.clock)
    return Case(sender, HttpTarget(url), HttpTarget(f"{url}/no"), JobTarget("j"))


def job(control: Control, url: str, home: str) -> Case:
    return Case(JobSender(control.parts), JobTarget("j"), JobTarget("no"), HttpTarget(url))


def every(control: Control, url: str, home: str) -> Case:
    ground = Ground(control.parts, None, "o", home, "http://127.0.0.1:1")  # type: ignore[arg-type]
    sender = make_senders(ground, SenderOptions())
    return Case(sender, JobTarget("j"), HttpTarget(f"{url}/no"), HttpTarget("nonsense"))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            status = b"404 No" if b" /no " in head else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


@asynccontextmanager
async def opened(make: Open, home: Path) -> AsyncIterator[Case]:
    control = Control()
    container = Container(command=("true",))
    template = ExecutionTemplate(template=TaskTemplate(containers=(container,)))
    control.service.jobs.create(SCOPE, "j", JobSpec(template=template))
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    case = make(control, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", str(home))
    try:
        yield case
    finally:
        await case.sender.close()
        server.close()
        control.close()


def delivery(target: Target) -> Delivery:
    return Delivery(
        uid="d1",
        project="local",
        region="us-central1",
        source=SourceKind.SCHEDULE,
        source_name="nightly",
        key="k",
        target=target,
        retry=ScheduleRetry(),
    )


@pytest.fixture(autouse=True)
def nobody_at_google(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")


each = pytest.mark.parametrize("make", [http, job, every])


@each
async def test_an_answer_is_an_outcome_whether_it_is_yes_or_no(make: Open, tmp_path: Path) -> None:
    async with opened(make, tmp_path) as case:
        assert (await case.sender.send(delivery(case.good), 1)).outcome == Answer(200)
        assert (await case.sender.send(delivery(case.bad), 1)).outcome == Answer(404)


@each
async def test_a_target_that_cannot_be_called_is_unusable_and_no_exception(
    make: Open, tmp_path: Path
) -> None:
    async with opened(make, tmp_path) as case:
        outcome = (await case.sender.send(delivery(case.other), 1)).outcome
        assert isinstance(outcome, Broken)
        assert outcome.why is Break.UNUSABLE
        assert outcome.message


@each
async def test_nothing_that_a_target_says_is_an_exception(
    make: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd: list[Target] = [
        HttpTarget(""),
        HttpTarget("http://["),
        HttpTarget("http://x\0y/"),
        HttpTarget("http://\ud800/"),
        HttpTarget("http://127.0.0.1:1/", headers=(("\ud800", "\ud800"),)),
        HttpTarget("http://127.0.0.1:1/", headers=(("a", "\ud800"),)),
        HttpTarget("http://127.0.0.1:1/", method=""),
        HttpTarget("http://127.0.0.1:1/", deadline=0),
        HttpTarget("http://127.0.0.1:1/", deadline=-1),
        HttpTarget("http://run.test/v2/projects/\0/locations/\0/jobs/\0:run"),
        JobTarget("\0"),
        JobTarget("x" * 100_000),
        JobTarget("j", project="", region=""),
        PubsubTarget(""),
    ]
    async with opened(make, tmp_path) as case:
        for target in odd:
            sent = await case.sender.send(delivery(target), 1)
            assert isinstance(sent, Sent)
            assert isinstance(sent.outcome, get_args(Outcome))
            assert sent.outcome != Answer(200), target
            assert not caplog.records, target


@each
async def test_a_call_that_is_cancelled_spoils_nothing(make: Open, tmp_path: Path) -> None:
    async with opened(make, tmp_path) as case:
        for pauses in range(12):
            call = asyncio.ensure_future(case.sender.send(delivery(case.good), 1))
            await turns(pauses)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await finished(call)
        assert (await case.sender.send(delivery(case.good), 1)).outcome == Answer(200)


@each
async def test_many_at_once_are_all_answered(make: Open, tmp_path: Path) -> None:
    async with opened(make, tmp_path) as case:
        sent = await asyncio.gather(
            *(
                case.sender.send(replace(delivery(case.good), uid=f"d{number}"), 1)
                for number in range(50)
            )
        )
        assert [one.outcome for one in sent] == [Answer(200)] * 50


@each
async def test_closing_is_fine_before_the_first_call_and_twice(make: Open, tmp_path: Path) -> None:
    async with opened(make, tmp_path) as case:
        await case.sender.close()
        await case.sender.close()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def finished(call: "asyncio.Future[Any]") -> None:
    """Raises CancelledError also for a call that was done before it could be cancelled."""
    await call
    raise asyncio.CancelledError
