"""The methods of v2 over a real store: what a client sends and what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jobrunner.api.tables import all_methods
from jobrunner.api.v2.methods import methods
from jobrunner.calls import Role
from jobrunner.core.outcome import TIMEOUT_MESSAGE
from jobrunner.core.records import DEFAULT_PROJECT_NUMBER, Operation, Scope
from jobrunner.core.states import ExecutionState
from tests.support.control import Control
from tests.support.face import Face

HERE = Scope()
BASE = "/v2/projects/local/locations/us-central1"
JOBS = f"{BASE}/jobs"
EXECUTIONS = f"{JOBS}/nightly/executions"
NAME = "projects/local/locations/us-central1/jobs/nightly"
JOB_TYPE = "type.googleapis.com/google.cloud.run.v2.Job"
EXECUTION_TYPE = "type.googleapis.com/google.cloud.run.v2.Execution"
CANCELLED = ExecutionState.CANCELLED
FAILED = ExecutionState.FAILED
SUCCEEDED = ExecutionState.SUCCEEDED


@pytest.fixture
def control() -> Iterator[Control]:
    opened = Control()
    yield opened
    opened.close()


@pytest.fixture
def face(control: Control) -> Face:
    return Face(methods(control.parts))


def a_job(**template: Any) -> dict[str, Any]:
    container = {"image": "busybox", "command": ["true"]}
    return {
        "labels": {"team": "x"},
        "template": {"template": {"containers": [container]}, **template},
    }


async def create(face: Face, name: str = "nightly", **template: Any) -> Any:
    said = await face.ask("POST", f"{JOBS}?jobId={name}", a_job(**template))
    assert said.status == 200, said
    return said.body


async def run(face: Face, body: Any = None, *, job: str = "nightly", key: str | None = None) -> Any:
    said = await face.ask("POST", f"{JOBS}/{job}:run", body, key=key)
    assert said.status == 200, said
    return said.body


async def again(face: Face, operation: Any) -> Any:
    """The operation as it is now."""
    said = await face.ask("GET", f"/v2/{operation['name']}")
    assert said.status == 200, said
    return said.body


def started(control: Control, operation: Any) -> str:
    """The uid of the execution that a run has opened."""
    return str(operation["metadata"]["uid"])


# ---------------------------------------------------------------- jobs


async def test_a_job_is_created_and_its_operation_is_done(face: Face, control: Control) -> None:
    operation = await create(face)
    assert set(operation) == {"name", "metadata", "done", "response"}
    assert operation["name"].startswith(f"{BASE[4:]}/operations/")
    assert operation["done"] is True
    assert operation["metadata"] == operation["response"]
    job = operation["response"]
    assert job.pop("@type") == JOB_TYPE
    assert (job["name"], job["creator"]) == (NAME, "ada@example.com")
    assert await again(face, operation) == {**operation, "response": {"@type": JOB_TYPE, **job}}
    assert (await face.ask("GET", f"{JOBS}/nightly")).body == job


async def test_a_name_that_is_taken_is_refused(face: Face) -> None:
    await create(face)
    said = await face.ask("POST", f"{JOBS}?jobId=nightly", a_job())
    assert said.error == (409, "ALREADY_EXISTS", "Resource 'nightly' already exists.")


async def test_a_job_needs_a_name_of_the_right_form(face: Face) -> None:
    said = await face.ask("POST", JOBS, a_job())
    assert said.error == (400, "INVALID_ARGUMENT", "jobId: the parameter 'jobId' is required")
    said = await face.ask("POST", f"{JOBS}?jobId=No", a_job())
    assert said.status == 400
    assert said.message.startswith("Violation in CreateJobRequest.job_id: 'No' is not a job name")
    (detail,) = said.body["error"]["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert detail["fieldViolations"][0]["field"] == "job_id"


async def test_a_bad_document_is_answered_in_the_words_of_the_request(face: Face) -> None:
    said = await face.ask("POST", f"{JOBS}?jobId=nightly", a_job(taskCount=-1, colour="red"))
    assert said.error == (
        400,
        "INVALID_ARGUMENT",
        'Violation in CreateJobRequest.job.template.colour: Unknown name "colour" at'
        " 'job.template': Cannot find field.\n"
        "Violation in CreateJobRequest.job.template.taskCount: -1 is out of range; allowed: 1 to"
        " 10000",
    )
    said = await face.ask("PATCH", f"{JOBS}/nightly", None)
    assert said.message.startswith("Violation in UpdateJobRequest.job.template.template.containers")


async def test_what_is_not_there_is_not_found_in_googles_words(face: Face) -> None:
    tail = "in region 'us-central1' in project 'local' does not exist."
    for verb, path, kind, name in (
        ("GET", f"{JOBS}/nightly", "JOB", "nightly"),
        ("PATCH", f"{JOBS}/nightly", "JOB", "nightly"),
        ("DELETE", f"{JOBS}/nightly", "JOB", "nightly"),
        ("POST", f"{JOBS}/nightly:run", "JOB", "nightly"),
        ("GET", EXECUTIONS, "JOB", "nightly"),
        ("GET", f"{EXECUTIONS}/e", "EXECUTION", "e"),
        ("DELETE", f"{EXECUTIONS}/e", "EXECUTION", "e"),
        ("POST", f"{EXECUTIONS}/e:cancel", "EXECUTION", "e"),
        ("GET", f"{EXECUTIONS}/e/tasks", "EXECUTION", "e"),
        ("GET", f"{EXECUTIONS}/e/tasks/e-task0", "TASK", "e-task0"),
        ("GET", f"{EXECUTIONS}/e/tasks/other", "TASK", "other"),
        ("GET", f"{BASE}/operations/o", "OPERATION", "o"),
        ("DELETE", f"{BASE}/operations/o", "OPERATION", "o"),
        ("POST", f"{BASE}/operations/o:wait", "OPERATION", "o"),
    ):
        said = await face.ask(verb, path, a_job() if verb == "PATCH" else None)
        message = f"Resource '{name}' of kind '{kind}' {tail}"
        assert said.error == (404, "NOT_FOUND", message), path


async def test_an_update_replaces_the_job_and_the_generation_grows(face: Face) -> None:
    await create(face, parallelism=2, taskCount=2)
    said = await face.ask("PATCH", f"{JOBS}/nightly", {**a_job(taskCount=5), "name": NAME})
    job = said.body["response"]
    assert (job["generation"], job["observedGeneration"]) == ("2", "2")
    assert job["template"]["taskCount"] == 5
    assert "parallelism" not in job["template"]


async def test_an_update_creates_what_is_missing_if_it_may(face: Face) -> None:
    said = await face.ask("PATCH", f"{JOBS}/nightly?allowMissing=true", a_job())
    assert said.body["done"] is True
    assert said.body["response"]["generation"] == "1"


async def test_an_etag_that_is_not_the_current_one_is_a_conflict(face: Face) -> None:
    first = (await create(face))["response"]["etag"]
    said = await face.ask("PATCH", f"{JOBS}/nightly", {**a_job(taskCount=2), "etag": first})
    second = said.body["response"]["etag"]
    conflict = (
        f"Conflict for resource 'nightly': version '{first}' was specified but current version is"
        f" '{second}'."
    )
    said = await face.ask("PATCH", f"{JOBS}/nightly", {**a_job(taskCount=3), "etag": first})
    assert said.error == (409, "ABORTED", conflict)
    quoted = first.replace('"', "%22")
    for query in (f"etag={quoted}", f"etag={quoted}&validateOnly=true"):
        said = await face.ask("DELETE", f"{JOBS}/nightly?{query}")
        assert said.error == (409, "ABORTED", conflict)
    # A run and a cancel take an etag and do not compare it.
    await run(face, {"etag": first})
    quoted = second.replace('"', "%22")
    assert (await face.ask("DELETE", f"{JOBS}/nightly?etag={quoted}")).status == 200


async def test_what_is_only_validated_is_not_written(face: Face, control: Control) -> None:
    said = await face.ask("POST", f"{JOBS}?jobId=nightly&validateOnly=true", a_job())
    assert said.body["done"] is True
    assert said.body["response"]["name"] == NAME
    assert control.store.job_names(HERE) == []
    await create(face)
    said = await face.ask("PATCH", f"{JOBS}/nightly?validateOnly=true", a_job(taskCount=7))
    assert said.body["response"]["template"]["taskCount"] == 7
    said = await face.ask("POST", f"{JOBS}/nightly:run", {"validateOnly": True})
    assert said.body["done"] is True
    assert said.body["response"]["job"] == "nightly"
    assert control.store.execution_names(HERE) == []
    said = await face.ask("DELETE", f"{JOBS}/nightly?validateOnly=true")
    assert "deleteTime" in said.body["response"]
    job = (await face.ask("GET", f"{JOBS}/nightly")).body
    assert job["generation"] == "1"
    assert "executionCount" not in job
    assert len((await face.ask("GET", f"{BASE}/operations")).body["operations"]) == 1


async def test_a_project_goes_by_its_id_or_its_number(face: Face) -> None:
    await create(face)
    path = f"/v2/projects/{DEFAULT_PROJECT_NUMBER}/locations/us-central1/jobs/nightly"
    assert (await face.ask("GET", path)).body["name"] == NAME


# ---------------------------------------------------------------- lists


async def test_an_empty_list_is_empty(face: Face) -> None:
    await create(face)
    for path in (EXECUTIONS, f"{JOBS}/-/executions", f"{JOBS}/-/executions/-/tasks"):
        assert (await face.ask("GET", path)).body == {}
    other = "/v2/projects/local/locations/europe-west1"
    for path in (f"{other}/jobs", f"{other}/operations"):
        assert (await face.ask("GET", path)).body == {}


async def pages(face: Face, path: str, member: str) -> list[list[str]]:
    found, token = [], ""
    while True:
        body = (await face.ask("GET", f"{path}&pageToken={token}")).body
        found.append([item["name"].rsplit("/", 1)[-1] for item in body.get(member, [])])
        token = body.get("nextPageToken", "")
        if not token:
            assert "nextPageToken" not in body
            return found


async def test_jobs_are_listed_by_name_page_by_page(face: Face) -> None:
    for name in ("c", "a", "b", "d"):
        await create(face, name)
    assert await pages(face, f"{JOBS}?pageSize=2", "jobs") == [["a", "b"], ["c", "d"]]
    assert await pages(face, f"{JOBS}?pageSize=3", "jobs") == [["a", "b", "c"], ["d"]]
    assert await pages(face, f"{JOBS}?pageSize=0&showDeleted=true", "jobs") == [
        ["a", "b", "c", "d"]
    ]


async def test_a_token_belongs_to_the_list_it_came_from(face: Face) -> None:
    for name in ("a", "b"):
        await create(face, name)
    token = (await face.ask("GET", f"{JOBS}?pageSize=1")).body["nextPageToken"]
    for path in (
        f"{JOBS}?showDeleted=true&pageToken={token}",
        f"/v2/projects/local/locations/-/jobs?pageToken={token}",
        f"{JOBS}/a/executions?pageToken={token}",
        f"{BASE}/operations?pageToken={token}",
        f"{JOBS}?pageToken=x{token}",
    ):
        said = await face.ask("GET", path)
        assert said.error[:2] == (400, "INVALID_ARGUMENT"), path
        assert said.message.startswith("pageToken: "), path
    assert (await face.ask("GET", f"{JOBS}?pageSize=-1")).status == 400


async def test_every_location_is_listed_with_a_hyphen(face: Face, control: Control) -> None:
    await create(face, "b")
    other = "/v2/projects/local/locations/europe-west1/jobs?jobId=a"
    assert (await face.ask("POST", other, a_job())).status == 200
    other = "/v2/projects/elsewhere/locations/us-central1/jobs?jobId=c"
    assert (await face.ask("POST", other, a_job())).status == 200
    everywhere = "/v2/projects/local/locations/-/jobs"
    assert await pages(face, f"{everywhere}?pageSize=1", "jobs") == [["a"], ["b"]]
    await run(face, job="b")
    body = (await face.ask("GET", f"{everywhere}/-/executions")).body
    assert [one["job"] for one in body["executions"]] == ["b"]


async def test_executions_are_listed_newest_first_and_by_job(face: Face, control: Control) -> None:
    for job in ("nightly", "other"):
        await create(face, job)
    for job in ("nightly", "other", "nightly"):
        control.clock.advance(1.0)
        await run(face, job=job)
    names = ["nightly-00003", "other-00002", "nightly-00001"]
    assert await pages(face, f"{JOBS}/-/executions?pageSize=2", "executions") == [
        names[:2],
        names[2:],
    ]
    assert await pages(face, f"{EXECUTIONS}?pageSize=5", "executions") == [[names[0], names[2]]]


async def test_tasks_are_listed_with_hyphens_and_shown_one_by_one(
    face: Face, control: Control
) -> None:
    await create(face, taskCount=3)
    await run(face)
    control.clock.advance(1.0)
    await run(face, {"overrides": {"taskCount": 1}})
    first, second = "nightly-00001", "nightly-00002"
    tasks = f"{EXECUTIONS}/{first}/tasks"
    assert await pages(face, f"{tasks}?pageSize=2", "tasks") == [
        [f"{first}-task0", f"{first}-task1"],
        [f"{first}-task2"],
    ]
    every = [f"{second}-task0"] + [f"{first}-task{index}" for index in range(3)]
    for path in (f"{EXECUTIONS}/-/tasks", f"{JOBS}/-/executions/-/tasks"):
        assert await pages(face, f"{path}?pageSize=3", "tasks") == [every[:3], every[3:]]
    task = (await face.ask("GET", f"{tasks}/{first}-task2")).body
    assert task["name"] == f"{NAME}/executions/{first}/tasks/{first}-task2"
    assert (task["index"], task["execution"], task["job"]) == (2, first, "nightly")
    assert (await face.ask("GET", f"{tasks}/{first}-task3")).status == 404
    assert (await face.ask("GET", f"{tasks}/{second}-task0")).status == 404


# ---------------------------------------------------------------- running


async def test_a_run_is_done_when_the_execution_has_ended(face: Face, control: Control) -> None:
    await create(face)
    operation = await run(face)
    assert set(operation) == {"name", "metadata"}
    execution = operation["metadata"]
    assert execution["@type"] == EXECUTION_TYPE
    assert execution["name"] == f"{NAME}/executions/nightly-00001"
    assert execution["reconciling"] is True
    assert control.runner.looks > 0
    uid = started(control, operation)
    control.runner.start(uid)
    running = await again(face, operation)
    assert "done" not in running
    assert running["metadata"]["runningCount"] == 1
    control.runner.end(uid, SUCCEEDED)
    done = await again(face, operation)
    assert set(done) == {"name", "metadata", "done", "response"}
    assert done["response"]["succeededCount"] == 1
    shown = (await face.ask("GET", f"{EXECUTIONS}/nightly-00001")).body
    assert done["response"] == {"@type": EXECUTION_TYPE, **shown}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Task nightly-00001-task0 failed with exit code: 1 and message: The container exited"
         " with an error.", 10),
        (f"Task nightly-00001-task0 failed with exit code: 0 and message: {TIMEOUT_MESSAGE}", 4),
    ],
)  # fmt: skip
async def test_a_run_that_failed_is_an_error_with_its_message(
    face: Face, control: Control, message: str, code: int
) -> None:
    await create(face)
    operation = await run(face)
    control.runner.end(started(control, operation), FAILED, "NonZeroExitCode", message)
    done = await again(face, operation)
    assert set(done) == {"name", "metadata", "done", "error"}
    assert done["error"] == {"code": code, "message": message}
    assert done["metadata"]["failedCount"] == 1


async def test_overrides_change_one_execution(face: Face) -> None:
    await create(face, taskCount=4, parallelism=3)
    operation = await run(
        face,
        {
            "overrides": {
                "taskCount": 2,
                "timeout": "90s",
                "containerOverrides": [{"args": ["-x"], "env": [{"name": "A", "value": "b"}]}],
            }
        },
    )
    execution = operation["metadata"]
    assert (execution["taskCount"], execution["parallelism"]) == (2, 2)
    assert execution["template"]["timeout"] == "90s"
    (container,) = execution["template"]["containers"]
    assert container["args"] == ["-x"]
    job = (await face.ask("GET", f"{JOBS}/nightly")).body
    assert job["template"]["taskCount"] == 4
    assert job["latestCreatedExecution"]["completionStatus"] == "EXECUTION_PENDING"
    assert job["executionCount"] == 1


async def test_a_bad_override_is_answered_in_the_words_of_v2(face: Face) -> None:
    await create(face)
    said = await face.ask("POST", f"{JOBS}/nightly:run", {"overrides": {"timeout": "0s"}})
    assert said.error == (
        400,
        "INVALID_ARGUMENT",
        "Violation in RunJobRequest.overrides.timeout: 0 s is out of range; allowed: 1 s to"
        " 604800 s (168 h)",
    )


async def test_the_same_key_opens_one_execution_and_gives_one_operation(
    face: Face, control: Control
) -> None:
    await create(face)
    first = await run(face, key="k")
    again_first = await run(face, key="k")
    assert again_first == first
    control.runner.end(started(control, first), SUCCEEDED)
    assert (await run(face, key="k"))["done"] is True
    other = await run(face, key="l")
    assert other["name"] != first["name"]
    assert len(control.store.execution_names(HERE)) == 2


# ---------------------------------------------------------------- tokens


async def with_token(face: Face, **tokens: str) -> Any:
    said = await face.ask("POST", f"{JOBS}?jobId=nightly", {**a_job(), **tokens})
    assert said.status == 200, said
    return said.body


async def test_a_start_token_is_done_when_the_execution_has_started(
    face: Face, control: Control
) -> None:
    operation = await with_token(face, startExecutionToken="t1")
    assert "done" not in operation
    job = operation["metadata"]
    assert job["@type"] == JOB_TYPE
    assert job["reconciling"] is True
    assert job["terminalCondition"]["state"] == "CONDITION_RECONCILING"
    assert job["latestCreatedExecution"]["name"] == "nightly-t1"
    control.runner.start(control.store.get_execution(HERE, "nightly-t1").uid)
    done = await again(face, operation)
    assert done["done"] is True
    assert done["response"]["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


async def test_a_run_token_is_done_when_the_execution_has_ended(
    face: Face, control: Control
) -> None:
    operation = await with_token(face, runExecutionToken="t1")
    uid = control.store.get_execution(HERE, "nightly-t1").uid
    control.runner.start(uid)
    assert "done" not in await again(face, operation)
    control.runner.end(uid, FAILED, "NonZeroExitCode", "Task nightly-t1-task0 failed")
    done = await again(face, operation)
    assert done["error"] == {"code": 10, "message": "Task nightly-t1-task0 failed"}
    assert done["metadata"]["terminalCondition"]["state"] == "CONDITION_FAILED"


async def test_an_update_with_the_token_of_before_starts_nothing(
    face: Face, control: Control
) -> None:
    await with_token(face, runExecutionToken="t1")
    body = {**a_job(taskCount=2), "runExecutionToken": "t1"}
    assert (await face.ask("PATCH", f"{JOBS}/nightly", body)).body["done"] is True
    body = {**a_job(taskCount=2), "runExecutionToken": "t2"}
    assert "done" not in (await face.ask("PATCH", f"{JOBS}/nightly", body)).body
    assert control.store.execution_names(HERE) == ["nightly-t1", "nightly-t2"]


# ---------------------------------------------------------------- cancelling and deleting


async def test_a_cancel_is_done_when_the_execution_has_ended(face: Face, control: Control) -> None:
    await create(face)
    ran = await run(face)
    uid = started(control, ran)
    control.runner.start(uid)
    said = await face.ask("POST", f"{EXECUTIONS}/nightly-00001:cancel", {})
    assert "done" not in said.body
    (completed,) = [c for c in said.body["metadata"]["conditions"] if c["type"] == "Completed"]
    assert completed["executionReason"] == "CANCELLING"
    control.runner.end(uid, CANCELLED, "Cancelled", "Cancelled by user.")
    for operation in (said.body, ran):
        done = await again(face, operation)
        assert done["done"] is True
        assert "error" not in done
        assert done["response"]["cancelledCount"] == 1


async def test_what_has_ended_cannot_be_cancelled(face: Face, control: Control) -> None:
    await create(face)
    control.runner.end(started(control, await run(face)), SUCCEEDED)
    said = await face.ask("POST", f"{EXECUTIONS}/nightly-00001:cancel", {})
    assert said.error == (
        400,
        "FAILED_PRECONDITION",
        "Execution 'nightly-00001' cannot be cancelled because it is not running.",
    )


async def test_a_rehearsed_cancel_stops_nothing(face: Face, control: Control) -> None:
    await create(face)
    uid = started(control, await run(face))
    said = await face.ask("POST", f"{EXECUTIONS}/nightly-00001:cancel", {"validateOnly": True})
    assert said.body["done"] is True
    assert control.store.get_execution_by_uid(uid).abort is None
    said = await face.ask("POST", f"{EXECUTIONS}/nightly-00001:cancel", {"force": True})
    assert said.message.startswith("Violation in CancelExecutionRequest.force: Unknown name")


async def test_an_execution_that_runs_is_stopped_and_removed(face: Face, control: Control) -> None:
    await create(face)
    ran = await run(face)
    control.runner.start(started(control, ran))
    said = await face.ask("DELETE", f"{EXECUTIONS}/nightly-00001")
    assert said.body["done"] is True
    assert said.body["response"]["@type"] == EXECUTION_TYPE
    assert "deleteTime" in said.body["response"]
    assert (await face.ask("GET", f"{EXECUTIONS}/nightly-00001")).status == 404
    # Who waited for the run is told how it ended.
    done = await again(face, ran)
    assert done["response"]["cancelledCount"] == 1


async def test_a_job_is_removed_with_what_runs(face: Face, control: Control) -> None:
    await create(face)
    ran = await run(face)
    said = await face.ask("DELETE", f"{JOBS}/nightly")
    assert set(said.body) == {"name", "metadata", "done", "response"}
    assert said.body["response"]["@type"] == JOB_TYPE
    assert "deleteTime" in said.body["response"]
    for path in (f"{JOBS}/nightly", f"{JOBS}/-/executions/nightly-00001"):
        assert (await face.ask("GET", path)).status == 404
    assert (await again(face, ran))["done"] is True
    assert await again(face, said.body) == said.body


async def test_an_execution_belongs_to_its_job(face: Face) -> None:
    await create(face)
    await create(face, "other")
    await run(face)
    for verb, path in (("GET", ""), ("DELETE", ""), ("POST", ":cancel"), ("GET", "/tasks")):
        said = await face.ask(verb, f"{JOBS}/other/executions/nightly-00001{path}")
        assert said.status == 404
    assert (await face.ask("GET", f"{EXECUTIONS}/nightly-00001")).status == 200


# ---------------------------------------------------------------- operations


async def test_an_operation_outlives_what_nobody_knows_the_end_of(
    face: Face, control: Control
) -> None:
    await create(face)
    ran = await run(face)
    uid = started(control, ran)
    stopped = (await face.ask("POST", f"{EXECUTIONS}/nightly-00001:cancel", {})).body
    control.runner.end(uid, CANCELLED)
    control.store.delete_execution(uid)
    done = await again(face, ran)
    assert done["error"]["code"] == 5
    assert done["metadata"]["name"] == f"{NAME}/executions/nightly-00001"
    assert (await again(face, stopped))["response"]["name"] == done["metadata"]["name"]


async def test_operations_are_listed_newest_first_and_filtered(
    face: Face, control: Control
) -> None:
    created = await create(face)
    control.clock.advance(1.0)
    ran = await run(face)

    async def listed(query: str = "") -> list[str]:
        body = (await face.ask("GET", f"{BASE}/operations?filter={query}")).body
        return [one["name"] for one in body.get("operations", [])]

    assert await listed() == [ran["name"], created["name"]]
    assert await listed("done:true") == [created["name"]]
    assert await listed("done%20=%20false") == [ran["name"]]
    said = await face.ask("GET", f"{BASE}/operations?filter=name:x")
    assert said.message == "filter: 'name:x' is not a filter; allowed: done:true and done:false"
    assert await pages(face, f"{BASE}/operations?pageSize=1", "operations") == [
        [ran["name"].rsplit("/", 1)[-1]],
        [created["name"].rsplit("/", 1)[-1]],
    ]
    assert await pages(face, f"{BASE}/operations?pageSize=1&filter=done:true", "operations") == [
        [created["name"].rsplit("/", 1)[-1]]
    ]


async def test_an_operation_is_forgotten_and_its_run_goes_on(face: Face, control: Control) -> None:
    await create(face)
    ran = await run(face)
    assert (await face.ask("DELETE", f"/v2/{ran['name']}")).body == {}
    assert (await face.ask("GET", f"/v2/{ran['name']}")).status == 404
    assert control.store.get_execution_by_uid(started(control, ran)).abort is None


async def test_each_api_lists_its_own_operations(face: Face, control: Control) -> None:
    mine = (await face.ask("POST", f"{JOBS}?jobId=nightly", a_job())).body["name"]
    theirs = Operation(
        "theirs", *HERE, "create", "trigger", "uid", "made", 1.0, 1.0, '{"done":true}'
    )
    control.parts.service.store.put_operation(theirs)
    for base, listed in ((BASE, mine), (f"/v1{BASE[3:]}", f"{BASE[4:]}/operations/theirs")):
        found = (await face.ask("GET", f"{base}/operations")).body["operations"]
        assert [one["name"] for one in found] == [listed]
        assert (await face.ask("GET", f"/v1/{listed}")).status == 200


async def test_version_1_knows_the_same_operations(face: Face) -> None:
    await create(face)
    ran = await run(face)
    older, newer = f"/v1/{ran['name']}", f"/v2/{ran['name']}"
    assert (await face.ask("GET", older)).body == (await face.ask("GET", newer)).body
    assert (await face.ask("POST", f"{older}:wait", {"timeout": "0s"})).status == 200
    assert (await face.ask("DELETE", older)).body == {}
    assert (await face.ask("GET", newer)).status == 404


async def test_a_wait_ends_with_the_execution(face: Face, control: Control) -> None:
    await create(face)
    ran = await run(face)
    uid = started(control, ran)
    control.runner.meanwhile = lambda: void(control.runner.end(uid, SUCCEEDED))
    said = await face.ask("POST", f"/v2/{ran['name']}:wait", {"timeout": "7s"})
    assert said.body["done"] is True
    assert control.runner.waits == [7.0]
    again_waited = await face.ask("POST", f"/v2/{ran['name']}:wait", {"timeout": "7s"})
    assert again_waited.body == said.body
    assert len(control.runner.waits) == 1


async def test_a_wait_ends_when_its_time_is_over(face: Face, control: Control) -> None:
    await create(face)
    ran = await run(face)
    control.runner.meanwhile = lambda: control.clock.advance(30.0)
    said = await face.ask("POST", f"/v2/{ran['name']}:wait", {"timeout": "3600s"})
    assert "done" not in said.body
    assert control.runner.waits == [30.0]
    said = await face.ask("POST", f"/v2/{ran['name']}:wait", {"timeout": "0s"})
    assert "done" not in said.body
    assert len(control.runner.waits) == 1


async def test_a_wait_ends_when_what_it_waits_for_is_removed(face: Face, control: Control) -> None:
    await create(face)
    ran = await run(face)
    uid = started(control, ran)
    control.runner.meanwhile = lambda: void(control.store.delete_execution(uid))
    said = await face.ask("POST", f"/v2/{ran['name']}:wait", None)
    assert said.body["error"]["code"] == 5


async def test_a_misspelt_wait_is_refused(face: Face) -> None:
    created = await create(face)
    said = await face.ask("POST", f"/v2/{created['name']}:wait", {"timeout": 30})
    assert said.message.startswith("Violation in WaitOperationRequest.timeout: 30 is not a dur")


# ---------------------------------------------------------------- the table


def test_who_may_what() -> None:
    control = Control()
    table = {method.name: method for method in methods(control.parts)}
    control.close()
    invoked = {"run.jobs.run", "run.executions.cancel"}
    for name, method in table.items():
        read = method.verb == "GET" or name == "run.operations.wait"
        role = Role.INVOKER if name in invoked else Role.VIEWER if read else Role.ADMIN
        assert (method.role, method.changes) == (role, not read), name
        assert bool(method.grpc) == method.path.startswith("/v2/")


async def test_a_removal_over_v1_is_told_to_who_waits_over_v2(control: Control) -> None:
    both = Face(all_methods(control.parts))
    await create(both)
    ran = await run(both)
    path = "/apis/run.googleapis.com/v1/namespaces/local/executions/nightly-00001"
    assert (await both.ask("DELETE", path)).status == 200
    assert (await again(both, ran))["response"]["cancelledCount"] == 1


def void(_: object) -> None:
    """For a callback whose answer does not matter."""
