"""Executions that deliveries start: once per try, however often a delivery is sent."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobrunner.core.records import Execution, Scope
from jobrunner.core.spec import (
    Container,
    ContainerOverride,
    ExecutionTemplate,
    JobSpec,
    Overrides,
    TaskTemplate,
)
from jobrunner.core.states import ExecutionState
from jobrunner.errors import StoreFault
from jobrunner.service.parts import Ground
from tests.support.control import Control
from triggers.core.records import (
    Ack,
    Delivery,
    HttpTarget,
    JobTarget,
    Payload,
    PubsubTarget,
    ScheduleRetry,
    SourceKind,
    Target,
)
from triggers.core.runurls import Own
from triggers.core.verdict import Answer, Break, Broken, RunEnd, judge
from triggers.ports import Sent
from triggers.senders.job import JobSender
from triggers.senders.options import SenderOptions, TokenKind
from triggers.senders.sending import Senders, make_senders

SCOPE = Scope()
URL = (
    "https://us-central1-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/local/jobs/j:run"
)
URL_V2 = "https://run.googleapis.com/v2/projects/local/locations/us-central1/jobs/j:run"


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    container = Container(command=("true",), args=("a",))
    template = ExecutionTemplate(template=TaskTemplate(containers=(container,)))
    made.service.jobs.create(SCOPE, "j", JobSpec(template=template))
    yield made
    made.close()


def delivery(target: Target, **changes: Any) -> Delivery:
    made = Delivery(
        uid="d1",
        project="local",
        region="us-central1",
        source=SourceKind.SCHEDULE,
        source_name="nightly",
        key="k",
        target=target,
        retry=ScheduleRetry(),
    )
    return replace(made, **changes)


async def send(control: Control, one: Delivery) -> Sent:
    return await JobSender(control.parts).send(one, 1)


def executions(control: Control) -> list[Execution]:
    return list(control.service.executions.list(SCOPE))


class Nobody:
    """A sender over HTTP that must not be asked."""

    async def send(self, delivery: Delivery, number: int) -> Sent:
        raise AssertionError("called")

    async def close(self) -> None:
        pass


def senders(control: Control) -> Senders:
    return Senders(Nobody(), JobSender(control.parts), Own(8686))


# ---------------------------------------------------------------- job targets


async def test_on_start_the_existing_execution_is_the_answer(control: Control) -> None:
    sent = await send(control, delivery(JobTarget("j")))
    (execution,) = executions(control)
    assert sent.outcome == Answer(200)
    assert sent.execution == execution.uid
    assert execution.name.encode() in sent.excerpt
    verdict = judge(SourceKind.SCHEDULE, sent.outcome)
    assert verdict.reason == f"execution {execution.name} was started"
    assert execution.creator == "schedule/nightly"
    assert control.runner.looks == 1
    assert control.commits == 1


@pytest.mark.parametrize("ack", Ack)
async def test_a_delivery_that_is_sent_again_finds_its_execution(
    control: Control, ack: Ack
) -> None:
    one = delivery(JobTarget("j", ack=ack))
    first, *others = [await send(control, one) for _ in range(3)]
    assert others == [first, first]
    assert len(executions(control)) == 1


async def test_however_many_send_at_once_there_is_one_execution(control: Control) -> None:
    one = delivery(JobTarget("j"))
    sent = await asyncio.gather(*(send(control, one) for _ in range(10)))
    assert len({each.execution for each in sent}) == 1
    assert len(executions(control)) == 1


async def test_the_next_try_and_another_delivery_are_executions_of_their_own(
    control: Control,
) -> None:
    one = delivery(JobTarget("j"))
    for each in (one, replace(one, run_try=1), replace(one, uid="d2")):
        await send(control, each)
    assert len(executions(control)) == 3


async def test_on_success_the_outcome_is_how_the_run_stands(control: Control) -> None:
    one = delivery(JobTarget("j", ack=Ack.ON_SUCCESS))
    sent = await send(control, one)
    (execution,) = executions(control)
    assert sent == Sent(RunEnd(execution.name, ExecutionState.PENDING), execution=execution.uid)
    control.runner.start(execution.uid)
    running = RunEnd(execution.name, ExecutionState.RUNNING)
    assert (await send(control, one)).outcome == running
    control.runner.end(execution.uid, ExecutionState.FAILED)
    failed = RunEnd(execution.name, ExecutionState.FAILED)
    assert (await send(control, one)).outcome == failed


async def test_overrides_reach_the_execution(control: Control) -> None:
    overrides = Overrides((ContainerOverride(args=("--day=1",)),), task_count=3)
    await send(control, delivery(JobTarget("j", overrides=overrides)))
    (execution,) = executions(control)
    assert execution.task_count == 3
    assert execution.template.template.containers[0].args == ("--day=1",)


async def test_a_job_that_is_not_there_is_a_404(control: Control) -> None:
    sent = await send(control, delivery(JobTarget("other")))
    assert sent.outcome == Answer(404)
    assert judge(SourceKind.SCHEDULE, sent.outcome).reason.startswith("HTTP 404: There is no job")
    assert b"other" in sent.excerpt
    assert sent.execution is None
    elsewhere = await send(control, delivery(JobTarget("j", region="europe-west1")))
    assert elsewhere.outcome == Answer(404)


async def test_overrides_that_break_a_rule_are_a_400(control: Control) -> None:
    sent = await send(control, delivery(JobTarget("j", overrides=Overrides(task_count=-1))))
    assert sent.outcome == Answer(400)
    assert b"taskCount" in sent.excerpt


async def test_a_job_that_is_being_deleted_is_a_409(control: Control) -> None:
    control.service.leaving.add(control.service.jobs.get(SCOPE, "j").uid)
    assert (await send(control, delivery(JobTarget("j")))).outcome == Answer(409)


async def test_a_removed_execution_counts_as_started_and_is_not_run_again(
    control: Control,
) -> None:
    one = delivery(JobTarget("j"))
    await send(control, one)
    (execution,) = executions(control)
    control.runner.end(execution.uid, ExecutionState.SUCCEEDED)
    control.service.executions.delete(SCOPE, execution.name)
    assert (await send(control, one)).outcome == Answer(200)
    followed = await send(control, replace(one, target=JobTarget("j", ack=Ack.ON_SUCCESS)))
    assert isinstance(followed.outcome, Broken)
    assert followed.outcome.why is Break.UNUSABLE
    assert "replay" in followed.outcome.message
    assert not executions(control)


@pytest.mark.parametrize(
    ("error", "why"),
    [(StoreFault("the disk is full"), Break.CONNECT), (ZeroDivisionError("x"), Break.PROTOCOL)],
)
async def test_a_fault_is_a_reason_to_try_again_and_never_raised(
    control: Control, error: Exception, why: Break
) -> None:
    async def commit(work: object) -> Any:
        raise error

    parts = replace(control.parts, commit=commit)
    sent = await JobSender(parts).send(delivery(JobTarget("j")), 1)
    assert isinstance(sent.outcome, Broken)
    assert sent.outcome.why is why
    assert str(error) in sent.outcome.message


# ---------------------------------------------------------------- URLs that start a job


@pytest.mark.parametrize("url", [URL, URL_V2, "http://localhost:8686" + URL_V2[26:]])
async def test_a_url_that_starts_a_job_starts_it_here(control: Control, url: str) -> None:
    sent = await senders(control).send(delivery(HttpTarget(url, body=b"{}")), 1)
    (execution,) = executions(control)
    assert sent.outcome == Answer(200)
    assert sent.execution == execution.uid
    again = await senders(control).send(delivery(HttpTarget(url, body=b"{}")), 2)
    assert again == sent


async def test_the_body_overrides_and_the_payload_wins_over_it(control: Control) -> None:
    body = b'{"overrides":{"containerOverrides":[{"args":["x"]}],"taskCount":2}}'
    one = delivery(HttpTarget(URL, body=b"{}"), payload=Payload(body))
    assert (await senders(control).send(one, 1)).outcome == Answer(200)
    (execution,) = executions(control)
    assert execution.task_count == 2
    assert execution.template.template.containers[0].args == ("x",)


async def test_the_number_of_a_project_is_as_good_as_its_name(control: Control) -> None:
    number = control.store.project_number("local")
    url = URL.replace("/local/", f"/{number}/")
    assert (await senders(control).send(delivery(HttpTarget(url)), 1)).outcome == Answer(200)
    unknown = URL.replace("/local/", "/123/")
    assert (await senders(control).send(delivery(HttpTarget(unknown)), 1)).outcome == Answer(404)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (HttpTarget(URL.replace("/j:", "/other:")), 404),
        (HttpTarget(URL.replace("us-central1", "us-east1")), 404),
        (HttpTarget(URL, method="GET"), 404),
        (HttpTarget("https://run.googleapis.com/v9/jobs/j:run"), 404),
        (HttpTarget(URL, body=b"{"), 400),
        (HttpTarget(URL, body=b'{"overrides":{"taskCount":-1}}'), 400),
        (HttpTarget(URL_V2, body=b'{"validateOnly":true}'), 200),
        (HttpTarget(URL_V2.replace("/j:", "/x:"), body=b'{"validateOnly":true}'), 404),
    ],
    ids=str,
)
async def test_what_starts_nothing_is_answered_as_the_api_would(
    control: Control, target: HttpTarget, status: int
) -> None:
    sent = await senders(control).send(delivery(target), 1)
    assert sent.outcome == Answer(status)
    assert sent.excerpt
    assert sent.execution is None
    assert not executions(control)


async def test_each_target_goes_to_its_own_sender(control: Control) -> None:
    every = senders(control)
    assert (await every.send(delivery(JobTarget("j")), 1)).outcome == Answer(200)
    with pytest.raises(AssertionError, match="called"):
        await every.send(delivery(HttpTarget("https://example.com/run")), 1)
    topic = await every.send(delivery(PubsubTarget("projects/p/topics/t")), 1)
    assert isinstance(topic.outcome, Broken)
    await every.close()


@pytest.mark.parametrize("tokens", TokenKind)
async def test_a_plug_in_makes_all_of_them_from_its_ground(
    control: Control, tokens: TokenKind, tmp_path: Path
) -> None:
    ground = Ground(control.parts, None, "o", str(tmp_path), "http://127.0.0.1:8686")  # type: ignore[arg-type]
    made = make_senders(ground, SenderOptions(tokens=tokens))
    url = "http://127.0.0.1:8686" + URL_V2[26:]
    assert (await made.send(delivery(HttpTarget(url)), 1)).outcome == Answer(200)
    await made.close()
