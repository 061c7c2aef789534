"""Executions and tasks over v1."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobrunner.api.v1 import frame
from jobrunner.api.v1.methods import methods
from jobrunner.core.outcome import EXIT_MESSAGE, EXIT_REASON
from jobrunner.core.records import Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.core.states import ExecutionState
from tests.support.control import Control
from tests.support.face import Face

BASE = "/apis/run.googleapis.com/v1/namespaces/local"
EXECUTIONS, TASKS = f"{BASE}/executions", f"{BASE}/tasks"
SPEC = JobSpec(
    template=ExecutionTemplate(
        template=TaskTemplate(containers=(Container(command=("true",)),)),
        task_count=3,
        labels={"team": "x"},
    )
)


@pytest.fixture
def control() -> Iterator[Control]:
    opened = Control()
    for name in ("nightly", "hourly"):
        opened.service.jobs.create(Scope(), name, SPEC)
    yield opened
    opened.close()


@pytest.fixture
def face(control: Control) -> Face:
    return Face(methods(control.parts))


def opened(control: Control, job: str = "nightly") -> tuple[str, str]:
    """Name and uid of a new execution."""
    execution = control.service.executions.run(Scope(), job)
    control.clock.advance(1)
    return execution.name, execution.uid


def conditions(document: dict[str, dict[str, list[dict[str, str]]]]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in document["status"]["conditions"]}


@pytest.mark.parametrize(
    ("moment", "completed", "resources", "started"),
    [
        ("created", "Unknown", "Unknown", "Unknown"),
        ("running", "Unknown", "True", "True"),
        ("succeeded", "True", "True", "True"),
        ("failed", "False", "True", "True"),
        ("cancelled before it began", "False", "False", "False"),
    ],
)
async def test_the_conditions_are_those_that_gcloud_waits_for(
    face: Face, control: Control, moment: str, completed: str, resources: str, started: str
) -> None:
    name, uid = opened(control)
    if moment in ("running", "succeeded", "failed"):
        control.runner.start(uid)
    if moment == "succeeded":
        control.runner.end(uid, ExecutionState.SUCCEEDED)
    elif moment == "failed":
        control.runner.end(uid, ExecutionState.FAILED, EXIT_REASON, EXIT_MESSAGE)
    elif moment.startswith("cancelled"):
        await face.ask("POST", f"{EXECUTIONS}/{name}:cancel", {})
        await control.runner.settled(uid, within=None)
    shown = conditions((await face.ask("GET", f"{EXECUTIONS}/{name}")).body)
    assert shown["Completed"] == completed
    assert shown["ResourcesAvailable"] == resources
    assert shown["Started"] == started


async def test_executions_are_listed_by_job_newest_first_with_metadata(
    face: Face, control: Control
) -> None:
    names = [opened(control)[0] for _ in range(3)]
    opened(control, "hourly")
    query = "?labelSelector=run.googleapis.com%2Fjob+%3D+nightly&limit=100"
    status, body = await face.ask("GET", EXECUTIONS + query)
    assert (status, body["kind"]) == (200, "ExecutionsList")
    assert [item["metadata"]["name"] for item in body["items"]] == names[::-1]
    empty = (await face.ask("GET", f"{EXECUTIONS}?labelSelector=a%3Db")).body
    assert empty["items"] == []
    assert isinstance(empty["metadata"], dict)
    assert len((await face.ask("GET", EXECUTIONS, region=None)).body["items"]) == 4


async def test_pages_of_executions_follow_one_another(face: Face, control: Control) -> None:
    names = [opened(control)[0] for _ in range(5)]
    found: list[str] = []
    token = ""
    while True:
        body = (await face.ask("GET", f"{EXECUTIONS}?limit=2&continue={token}")).body
        found += [item["metadata"]["name"] for item in body["items"]]
        token = body["metadata"].get("continue", "")
        if not token:
            break
    assert found == names[::-1]


async def test_a_long_page_is_read_in_steps_and_is_one_page(
    face: Face, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "STEP", 2)
    names = [opened(control)[0] for _ in range(7)]
    body = (await face.ask("GET", f"{EXECUTIONS}?limit=5")).body
    assert [item["metadata"]["name"] for item in body["items"]] == names[:1:-1]
    token = body["metadata"]["continue"]
    body = (await face.ask("GET", f"{EXECUTIONS}?limit=5&continue={token}")).body
    assert [item["metadata"]["name"] for item in body["items"]] == names[1::-1]
    assert "continue" not in body["metadata"]


async def test_the_question_before_a_removal_finds_what_runs(face: Face, control: Control) -> None:
    running, uid = opened(control)
    control.runner.start(uid)
    _, uid = opened(control)
    control.runner.end(uid, ExecutionState.SUCCEEDED)
    query = (
        "?labelSelector=run.googleapis.com/job+%3D+nightly,"
        "+run.googleapis.com/servingState+%3D+Active&limit=1"
    )
    (item,) = (await face.ask("GET", EXECUTIONS + query)).body["items"]
    assert item["metadata"]["name"] == running
    assert "run.googleapis.com/servingState" not in item["metadata"]["labels"]


async def test_a_cancel_is_a_wish_and_the_runner_is_told(face: Face, control: Control) -> None:
    name, uid = opened(control)
    control.runner.start(uid)
    control.runner.stubborn = True
    status, body = await face.ask("POST", f"{EXECUTIONS}/{name}:cancel", {})
    assert (status, body["metadata"]["name"], control.runner.looks) == (200, name, 1)
    assert conditions(body)["Completed"] == "Unknown"
    assert control.runner.waits == [1.0]
    control.runner.stubborn = False
    await control.runner.settled(uid, within=None)
    (completed,) = [
        one
        for one in (await face.ask("GET", f"{EXECUTIONS}/{name}")).body["status"]["conditions"]
        if one["type"] == "Completed"
    ]
    assert (completed["status"], completed["reason"]) == ("False", "Cancelled")
    again = await face.ask("POST", f"{EXECUTIONS}/{name}:cancel", {})
    assert again.error == (
        400,
        "FAILED_PRECONDITION",
        f"Execution '{name}' cannot be cancelled because it is not running.",
    )


async def test_a_cancel_that_works_at_once_is_answered_with_the_end(
    face: Face, control: Control
) -> None:
    name, uid = opened(control)
    control.runner.start(uid)
    body = (await face.ask("POST", f"{EXECUTIONS}/{name}:cancel")).body
    assert conditions(body)["Completed"] == "False"


async def test_a_removed_execution_is_gone_when_the_answer_comes(
    face: Face, control: Control
) -> None:
    name, uid = opened(control)
    control.runner.start(uid)
    status, body = await face.ask("DELETE", f"{EXECUTIONS}/{name}")
    assert (status, body["details"]["name"]) == (200, name)
    assert (await face.ask("GET", f"{EXECUTIONS}/{name}")).status == 404


async def test_what_is_not_there_is_told_in_the_contracts_words(face: Face) -> None:
    for verb, path, kind in (
        ("GET", f"{EXECUTIONS}/x", "EXECUTION"),
        ("DELETE", f"{EXECUTIONS}/x", "EXECUTION"),
        ("POST", f"{EXECUTIONS}/x:cancel", "EXECUTION"),
        ("GET", f"{TASKS}/x", "TASK"),
        ("GET", f"{TASKS}/x-task0", "TASK"),
    ):
        name = path.rsplit("/", 1)[1].removesuffix(":cancel")
        assert (await face.ask(verb, path)).error == (
            404,
            "NOT_FOUND",
            f"Resource '{name}' of kind '{kind}' in region 'us-central1' in project 'local' does"
            " not exist.",
        )


async def test_tasks_are_listed_by_execution_and_state(face: Face, control: Control) -> None:
    name, _ = opened(control)
    opened(control)
    prefix = f"{TASKS}?limit=100&labelSelector=run.googleapis.com/execution+%3D+{name}"
    status, body = await face.ask("GET", prefix)
    assert (status, body["kind"]) == (200, "TasksList")
    assert [item["metadata"]["name"] for item in body["items"]] == [
        f"{name}-task{index}" for index in range(3)
    ]
    pending = await face.ask("GET", f"{prefix},run.googleapis.com/runningState+in+(Pending,Failed)")
    assert len(pending.body["items"]) == 3
    done = await face.ask("GET", f"{prefix},run.googleapis.com/runningState+in+(Succeeded,Failed)")
    assert done.body["items"] == []
    assert isinstance(done.body["metadata"], dict)


async def test_a_task_is_found_by_its_name(face: Face, control: Control) -> None:
    name, _ = opened(control)
    status, task = await face.ask("GET", f"{TASKS}/{name}-task2")
    assert (status, task["kind"], task["status"]["index"]) == (200, "Task", 2)
    assert task["metadata"]["labels"]["run.googleapis.com/runningState"] == "Pending"
    for wrong in (f"{name}-task3", f"{name}-task02", f"{name}-task", f"{name}-task-1"):
        assert (await face.ask("GET", f"{TASKS}/{wrong}")).status == 404
