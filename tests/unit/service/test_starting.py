"""Tokens of jobs that open an execution when the job is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from jobrunner.core.conditions import Status, job_conditions
from jobrunner.core.records import Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.core.states import ExecutionState
from jobrunner.errors import AlreadyExists, Refused
from jobrunner.service import make_service
from tests.support.control import Control

HERE = Scope()
SPEC = JobSpec(
    template=ExecutionTemplate(template=TaskTemplate(containers=(Container(command=("true",)),)))
)
START = replace(SPEC, start_execution_token="t1")
RUN = replace(SPEC, run_execution_token="t1")


@pytest.fixture
def control() -> Iterator[Control]:
    made = Control()
    yield made
    made.close()


def ready(control: Control) -> tuple[Status, str]:
    (condition,) = job_conditions(control.service.jobs.get(HERE, "job"))
    return condition.status, condition.reason


@pytest.mark.parametrize("spec", [START, RUN])
def test_a_token_opens_an_execution_of_its_name(control: Control, spec: JobSpec) -> None:
    job = control.service.jobs.create(HERE, "job", spec)
    assert control.store.execution_names(HERE) == ["job-t1"]
    assert job.latest_execution is not None
    assert job.latest_execution.name == "job-t1"
    assert job.execution_count == 1


def test_a_token_that_is_sent_again_starts_nothing(control: Control) -> None:
    jobs = control.service.jobs
    jobs.create(HERE, "job", START)
    jobs.replace(HERE, "job", START)
    jobs.replace(HERE, "job", replace(START, labels={"a": "b"}))
    jobs.replace(HERE, "job", replace(START, start_execution_token="t2"))
    jobs.replace(HERE, "job", replace(START, labels={"a": "c"}))
    assert control.store.execution_names(HERE) == ["job-t1", "job-t2"]


def test_without_a_runner_a_token_is_refused_and_nothing_is_stored(control: Control) -> None:
    alone = make_service(
        control.store, control.service.logs, control.clock, control.ids, actor="me"
    )
    with pytest.raises(Refused, match="no server is running"):
        alone.jobs.create(HERE, "job", START)
    assert alone.jobs.find(HERE, "job") is None


def test_without_a_runner_a_job_keeps_a_token_that_was_used(control: Control) -> None:
    control.service.jobs.create(HERE, "job", START)
    alone = make_service(
        control.store, control.service.logs, control.clock, control.ids, actor="me"
    )
    changed = alone.jobs.replace(HERE, "job", replace(START, labels={"a": "b"}))
    assert changed.spec.start_execution_token == "t1"


def test_a_name_that_belongs_to_another_job_is_refused(control: Control) -> None:
    control.service.jobs.create(HERE, "job-a", replace(SPEC, start_execution_token="b"))
    with pytest.raises(AlreadyExists):
        control.service.jobs.create(HERE, "job", replace(SPEC, start_execution_token="a-b"))


def test_with_a_start_token_the_job_is_ready_when_the_execution_has_started(
    control: Control,
) -> None:
    control.service.jobs.create(HERE, "job", START)
    assert ready(control) == (Status.UNKNOWN, "")
    execution = control.store.get_execution(HERE, "job-t1")
    control.runner.start(execution.uid)
    assert ready(control) == (Status.TRUE, "")
    control.runner.end(execution.uid, ExecutionState.FAILED, "NonZeroExitCode")
    assert ready(control) == (Status.TRUE, "")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (ExecutionState.SUCCEEDED, (Status.TRUE, "")),
        (ExecutionState.FAILED, (Status.FALSE, "NonZeroExitCode")),
        (ExecutionState.CANCELLED, (Status.FALSE, "Cancelled")),
    ],
)
def test_with_a_run_token_the_job_is_ready_when_the_execution_has_ended_well(
    control: Control, state: ExecutionState, said: tuple[Status, str]
) -> None:
    control.service.jobs.create(HERE, "job", RUN)
    execution = control.store.get_execution(HERE, "job-t1")
    control.runner.start(execution.uid)
    assert ready(control) == (Status.UNKNOWN, "")
    control.runner.end(execution.uid, state)
    assert ready(control) == said
    control.clock.advance(1.0)
    control.service.executions.run(HERE, "job")
    assert ready(control) == (Status.TRUE, "")
