"""Removing a job or an execution that may still run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from jobrunner.core.records import Execution, Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.core.states import ExecutionState
from jobrunner.errors import Conflict, NotFound, Refused
from jobrunner.service.removing import RECENT, Removing
from tests.support.control import Control

HERE = Scope()
SPEC = JobSpec(
    template=ExecutionTemplate(template=TaskTemplate(containers=(Container(command=("true",)),)))
)


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    made.service.jobs.create(HERE, "job", SPEC)
    yield made
    made.close()


def removing(control: Control, patience: float = 60.0) -> Removing:
    return Removing(control.service, control.commit, control.runner, patience=patience)


def gone(control: Control, name: str) -> bool:
    return name not in control.store.execution_names(HERE)


async def test_an_execution_that_runs_is_stopped_and_then_removed(control: Control) -> None:
    execution = control.service.executions.run(HERE, "job")
    control.runner.start(execution.uid)
    ended: list[Execution] = []
    removed = await removing(control).execution(HERE, execution.name, going=ended.append)
    assert removed.state is ExecutionState.CANCELLED
    assert [one.uid for one in ended] == [execution.uid]
    assert gone(control, execution.name)
    assert control.logs.deleted == [execution.uid]
    assert control.runner.looks == 1


async def test_an_execution_that_has_ended_is_removed_without_a_word_to_the_runner(
    control: Control,
) -> None:
    execution = control.service.executions.run(HERE, "job")
    control.runner.end(execution.uid, ExecutionState.FAILED)
    ended: list[Execution] = []
    removed = await removing(control).execution(HERE, execution.name, going=ended.append)
    assert removed.state is ExecutionState.FAILED
    assert [one.state for one in ended] == [ExecutionState.FAILED]
    assert gone(control, execution.name)
    assert control.runner.looks == 0


async def test_what_does_not_end_in_time_stays_with_the_wish_to_stop_it(control: Control) -> None:
    execution = control.service.executions.run(HERE, "job")
    control.runner.stubborn = True
    with pytest.raises(Refused, match="told to stop and has not ended yet"):
        await removing(control).execution(HERE, execution.name)
    assert control.store.get_execution_by_uid(execution.uid).abort is not None
    assert control.logs.deleted == []


async def test_nothing_is_written_when_the_caller_objects(control: Control) -> None:
    execution = control.service.executions.run(HERE, "job")

    def objects(_: object) -> None:
        raise Conflict("another version")

    with pytest.raises(Conflict):
        await removing(control).execution(HERE, execution.name, seen=objects)
    with pytest.raises(Conflict):
        await removing(control).job(HERE, "job", seen=objects)
    assert control.store.get_execution_by_uid(execution.uid).abort is None


async def test_a_job_goes_with_all_its_executions(control: Control) -> None:
    ended, pending, running = (control.service.executions.run(HERE, "job") for _ in range(3))
    control.runner.end(ended.uid, ExecutionState.SUCCEEDED)
    control.clock.advance(2 * RECENT)
    control.runner.start(running.uid)
    going: list[str] = []
    job = await removing(control).job(HERE, "job", going=lambda one: going.append(one.name))
    assert job.name == "job"
    assert sorted(going) == sorted([pending.name, running.name])
    assert control.store.execution_names(HERE) == []
    assert sorted(control.logs.deleted) == sorted([ended.uid, pending.uid, running.uid])
    with pytest.raises(NotFound):
        control.service.jobs.get(HERE, "job")


async def test_nothing_is_opened_for_a_job_that_is_being_removed(control: Control) -> None:
    control.service.executions.run(HERE, "job")
    said: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(Refused) as caught:
            control.service.acting("other").executions.run(HERE, "job")
        said.append(caught.value.message)

    control.runner.meanwhile = meanwhile
    await removing(control).job(HERE, "job")
    assert said == ["Job 'job' is being deleted."]
    control.service.jobs.create(HERE, "job", SPEC)
    control.service.executions.run(HERE, "job")


async def test_a_job_that_could_not_be_removed_runs_again(control: Control) -> None:
    control.service.executions.run(HERE, "job")
    control.runner.stubborn = True
    with pytest.raises(Refused):
        await removing(control).job(HERE, "job")
    control.service.executions.run(HERE, "job")


async def test_what_another_process_opens_meanwhile_is_stopped_too(control: Control) -> None:
    first = control.service.executions.run(HERE, "job")
    elsewhere = control.service_of_another_process()
    opened: list[Execution] = []

    def meanwhile() -> None:
        if not opened:
            opened.append(elsewhere.executions.run(HERE, "job"))

    control.runner.meanwhile = meanwhile
    stopped: list[str] = []
    await removing(control).job(HERE, "job", going=lambda one: stopped.append(one.uid))
    assert sorted(stopped) == sorted([first.uid, opened[0].uid])
    assert control.store.execution_names(HERE) == []


async def test_removing_what_is_not_there_says_so(control: Control) -> None:
    with pytest.raises(NotFound):
        await removing(control).job(HERE, "jop")
    with pytest.raises(NotFound):
        await removing(control).execution(HERE, "job-1")


async def test_of_two_who_remove_the_same_job_one_is_told_that_it_is_gone(
    control: Control,
) -> None:
    execution = control.service.executions.run(HERE, "job")
    control.runner.start(execution.uid)
    answers = await asyncio.gather(
        *(removing(control).job(HERE, "job") for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Job", "NotFound"]
    assert control.store.job_names(HERE) == []
    assert not control.service.leaving


async def test_of_two_who_remove_the_same_execution_both_are_answered(control: Control) -> None:
    execution = control.service.executions.run(HERE, "job")
    control.runner.start(execution.uid)
    answers = await asyncio.gather(
        *(removing(control).execution(HERE, execution.name) for _ in range(2))
    )
    assert {answer.uid for answer in answers} == {execution.uid}
    assert gone(control, execution.name)
