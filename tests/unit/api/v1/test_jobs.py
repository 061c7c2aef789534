"""Jobs over v1: what a client sends and what it needs back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jobrunner.api.v1.methods import methods
from jobrunner.core.records import DEFAULT_PROJECT_NUMBER, Scope
from jobrunner.core.states import ExecutionState
from tests.support.control import Control
from tests.support.face import Face

BASE = "/apis/run.googleapis.com/v1/namespaces/local"
JOBS = f"{BASE}/jobs"


@pytest.fixture
def control() -> Iterator[Control]:
    opened = Control()
    yield opened
    opened.close()


@pytest.fixture
def face(control: Control) -> Face:
    return Face(methods(control.parts))


def a_job(name: str = "nightly", **spec: Any) -> dict[str, Any]:
    """As gcloud sends it, empty messages included."""
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "local",
            "labels": {"team": "x"},
            "annotations": {
                "run.googleapis.com/client-name": "gcloud",
                "run.googleapis.com/client-version": "528.0.0",
            },
        },
        "spec": {
            "template": {
                "metadata": {"labels": {"client.knative.dev/nonce": "qan_wos_hit", "team": "x"}},
                "spec": {
                    **spec,
                    "template": {
                        "spec": {
                            "containers": [
                                {
                                    "name": "",
                                    "image": "busybox:latest",
                                    "command": ["sh"],
                                    "env": [{"name": "A", "value": "1"}],
                                    "resources": {"limits": {"cpu": "1"}, "requests": {}},
                                }
                            ],
                            "maxRetries": 0,
                            "nodeSelector": {},
                        }
                    },
                },
            }
        },
        "status": {"latestCreatedExecution": {}},
    }


async def test_a_created_job_is_ready_at_once_and_has_its_defaults(face: Face) -> None:
    status, job = await face.ask("POST", JOBS, a_job(taskCount=3, parallelism=2))
    assert status == 200
    assert (await face.ask("GET", f"{JOBS}/nightly")).body == job
    assert (job["apiVersion"], job["kind"]) == ("run.googleapis.com/v1", "Job")
    metadata = job["metadata"]
    number = str(DEFAULT_PROJECT_NUMBER)
    assert metadata["namespace"] == number
    assert metadata["selfLink"].endswith(f"/namespaces/{number}/jobs/nightly")
    assert metadata["labels"]["cloud.googleapis.com/location"] == "us-central1"
    assert metadata["annotations"]["run.googleapis.com/creator"] == "ada@example.com"
    assert job["status"]["observedGeneration"] == metadata["generation"] == 1
    assert [(c["type"], c["status"]) for c in job["status"]["conditions"]] == [("Ready", "True")]
    task = job["spec"]["template"]["spec"]["template"]["spec"]
    assert (task["maxRetries"], task["timeoutSeconds"]) == (0, "600")
    assert task["containers"][0]["resources"] == {"limits": {"cpu": "1", "memory": "512Mi"}}


async def test_the_number_of_the_project_is_as_good_as_its_id(face: Face) -> None:
    number = f"/apis/run.googleapis.com/v1/namespaces/{DEFAULT_PROJECT_NUMBER}"
    document = a_job()
    document["metadata"]["namespace"] = str(DEFAULT_PROJECT_NUMBER)
    assert (await face.ask("POST", JOBS, document)).status == 200
    assert (await face.ask("GET", f"{number}/jobs/nightly")).status == 200
    other = "/apis/run.googleapis.com/v1/namespaces/demo"
    document["metadata"]["namespace"] = "demo"
    shown = (await face.ask("POST", f"{other}/jobs", document)).body["metadata"]["namespace"]
    assert shown.isdigit()
    assert shown != str(DEFAULT_PROJECT_NUMBER)
    same = await face.ask("GET", f"/apis/run.googleapis.com/v1/namespaces/{shown}/jobs/nightly")
    assert same.body["metadata"]["selfLink"].endswith(f"/namespaces/{shown}/jobs/nightly")
    nobodys = await face.ask("GET", "/apis/run.googleapis.com/v1/namespaces/77/jobs/nightly")
    assert nobodys.error == (404, "NOT_FOUND", "Project '77' does not exist.")


@pytest.mark.parametrize("namespace", ["a b", "%25", "a%2Fb", "-", "x" * 80])
async def test_what_is_no_project_is_refused(face: Face, namespace: str) -> None:
    said = await face.ask("GET", f"/apis/run.googleapis.com/v1/namespaces/{namespace}/jobs")
    assert said.status == 400
    assert "is not a project" in said.message


async def test_a_document_of_another_project_is_refused(face: Face) -> None:
    document = a_job()
    document["metadata"]["namespace"] = "other"
    said = await face.ask("POST", JOBS, document)
    assert said.error == (
        400,
        "INVALID_ARGUMENT",
        "metadata.namespace: 'other' is not the project of the path, which is 'local'",
    )


async def test_creating_twice_and_asking_for_nothing_are_told_in_the_contracts_words(
    face: Face,
) -> None:
    await face.ask("POST", JOBS, a_job())
    twice = await face.ask("POST", JOBS, a_job())
    assert twice.error == (409, "ALREADY_EXISTS", "Resource 'nightly' already exists.")
    missing = (
        404,
        "NOT_FOUND",
        "Resource 'x' of kind 'JOB' in region 'us-central1' in project 'local' does not exist.",
    )
    for verb, path, body in (
        ("GET", "x", None),
        ("PUT", "x", a_job("x")),
        ("DELETE", "x", None),
        ("POST", "x:run", {}),
    ):
        assert (await face.ask(verb, f"{JOBS}/{path}", body)).error == missing


async def test_every_wrong_field_is_named_and_nothing_is_stored(face: Face) -> None:
    document = a_job(taskCount=0)
    document["spec"]["template"]["spec"]["template"]["spec"]["containrs"] = []
    status, said = await face.ask("POST", JOBS, document)
    fields = [v["field"] for v in said["error"]["details"][0]["fieldViolations"]]
    assert status == 400
    assert fields == [
        "spec.template.spec.template.spec.containrs",
        "spec.template.spec.taskCount",
    ]
    for rubbish in (None, [], "x", 3, {"kind": 3}):
        assert (await face.ask("POST", JOBS, rubbish)).status == 400
        assert (await face.ask("PUT", f"{JOBS}/nightly", rubbish)).status == 400
    assert (await face.ask("GET", JOBS)).body["items"] == []


async def test_a_job_that_is_sent_back_as_it_was_read_is_left_alone(face: Face) -> None:
    created = (await face.ask("POST", JOBS, a_job())).body
    assert (await face.ask("PUT", f"{JOBS}/nightly", created)).body == created


async def test_a_replacement_is_full_and_keeps_what_the_server_owns(
    face: Face, control: Control
) -> None:
    created = (await face.ask("POST", JOBS, a_job(taskCount=3))).body
    control.clock.advance(5)
    document = a_job()
    document["metadata"] = {
        "name": "nightly",
        "resourceVersion": created["metadata"]["resourceVersion"],
    }
    document["status"] = {"executionCount": 77}
    replaced = (await face.ask("PUT", f"{JOBS}/nightly", document)).body
    assert replaced["metadata"]["labels"] == {
        "cloud.googleapis.com/location": "us-central1",
        "run.googleapis.com/lastUpdatedTime": "2025-06-15T15:06:45.000000Z",
    }
    assert replaced["metadata"]["annotations"]["run.googleapis.com/creator"] == "ada@example.com"
    assert replaced["metadata"]["uid"] == created["metadata"]["uid"]
    assert replaced["metadata"]["generation"] == replaced["status"]["observedGeneration"] == 2
    assert replaced["spec"]["template"]["spec"]["taskCount"] == 1
    assert "executionCount" not in replaced["status"]


async def test_a_stale_version_is_refused_and_none_overwrites(face: Face, control: Control) -> None:
    created = (await face.ask("POST", JOBS, a_job())).body
    old = created["metadata"]["resourceVersion"]
    control.clock.advance(5)
    newer = (await face.ask("PUT", f"{JOBS}/nightly", a_job(taskCount=2))).body
    now = newer["metadata"]["resourceVersion"]
    for stale in (old, "AAYp0aB1cDE"):
        document = a_job(taskCount=3)
        document["metadata"]["resourceVersion"] = stale
        assert (await face.ask("PUT", f"{JOBS}/nightly", document)).error == (
            409,
            "ABORTED",
            f"Conflict for resource 'nightly': version '{stale}' was specified but current"
            f" version is '{now}'.",
        )


async def test_the_name_in_the_document_is_that_of_the_path(face: Face) -> None:
    await face.ask("POST", JOBS, a_job())
    said = await face.ask("PUT", f"{JOBS}/nightly", a_job("other"))
    assert said.message == ("metadata.name: 'other' is not the job of the path, which is 'nightly'")


async def test_jobs_are_listed_by_region_or_all_together(face: Face) -> None:
    for name, region in (("b", "us-central1"), ("a", "us-central1"), ("c", "us-west1")):
        await face.ask("POST", JOBS, a_job(name), region=region)

    async def listing(region: str | None, query: str = "") -> list[str]:
        status, body = await face.ask("GET", f"{JOBS}{query}", region=region)
        assert (status, body["kind"]) == (200, "JobsList")
        assert "metadata" in body
        return [item["metadata"]["name"] for item in body["items"]]

    assert await listing("us-central1") == ["a", "b"]
    assert await listing(None) == ["a", "b", "c"]
    assert await listing("us-west1", "?labelSelector=team%20%3D%20x") == ["c"]
    assert await listing(None, "?labelSelector=team+!%3D+x") == []
    assert await listing("mars-north1") == []


async def test_lists_come_in_pages_and_a_token_is_bound_to_its_list(face: Face) -> None:
    for name in ("a", "b", "c"):
        await face.ask("POST", JOBS, a_job(name))
    _, first = await face.ask("GET", f"{JOBS}?limit=2")
    token = first["metadata"]["continue"]
    _, second = await face.ask("GET", f"{JOBS}?limit=2&continue={token}")
    assert [item["metadata"]["name"] for item in first["items"] + second["items"]] == [
        "a",
        "b",
        "c",
    ]
    assert "continue" not in second["metadata"]
    for query in (f"limit=2&continue={token}&labelSelector=a", "continue=rubbish", "continue=%C3"):
        assert (await face.ask("GET", f"{JOBS}?{query}")).status == 400
    other = await face.ask("GET", f"{JOBS}?continue={token}", region="us-west1")
    assert "it belongs to a list with other parameters" in other.message
    for query in ("limit=-1", "limit=x", "labelSelector=%3D"):
        assert (await face.ask("GET", f"{JOBS}?{query}")).status == 400


async def test_a_run_answers_its_execution_and_tells_the_runner(
    face: Face, control: Control
) -> None:
    await face.ask("POST", JOBS, a_job(taskCount=3))
    status, execution = await face.ask("POST", f"{JOBS}/nightly:run", {})
    assert (status, execution["kind"], control.runner.looks) == (200, "Execution", 1)
    name = execution["metadata"]["name"]
    assert execution["metadata"]["namespace"] == str(DEFAULT_PROJECT_NUMBER)
    assert {(c["type"], c["status"]) for c in execution["status"]["conditions"]} >= {
        ("Completed", "Unknown"),
        ("Started", "Unknown"),
        ("ResourcesAvailable", "Unknown"),
    }
    assert (await face.ask("GET", f"{BASE}/executions/{name}")).body == execution
    status = (await face.ask("GET", f"{JOBS}/nightly")).body["status"]
    assert status["executionCount"] == 1
    assert status["latestCreatedExecution"]["name"] == name
    assert status["latestCreatedExecution"]["completionStatus"] == "EXECUTION_PENDING"


async def test_overrides_are_for_one_execution(face: Face) -> None:
    created = (await face.ask("POST", JOBS, a_job())).body
    overrides = {
        "containerOverrides": [
            {"args": ["x"], "clearArgs": False, "env": [{"name": "B", "value": "2"}]}
        ],
        "taskCount": 2,
        "timeoutSeconds": 60,
    }
    execution = (await face.ask("POST", f"{JOBS}/nightly:run", {"overrides": overrides})).body
    task = execution["spec"]["template"]["spec"]
    assert execution["spec"]["taskCount"] == 2
    assert task["timeoutSeconds"] == "60"
    assert task["containers"][0]["args"] == ["x"]
    assert [one["name"] for one in task["containers"][0]["env"]] == ["A", "B"]
    after = (await face.ask("GET", f"{JOBS}/nightly")).body
    assert after["spec"] == created["spec"]
    wrong = await face.ask("POST", f"{JOBS}/nightly:run", {"overrides": {"taskCount": -1}})
    assert wrong.error[:2] == (400, "INVALID_ARGUMENT")


async def test_a_repeated_run_with_the_same_key_opens_one_execution(face: Face) -> None:
    await face.ask("POST", JOBS, a_job())
    names = [
        (await face.ask("POST", f"{JOBS}/nightly:run", key=key)).body["metadata"]["name"]
        for key in ("k", "k", "other", None, None)
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 4


async def test_a_token_in_the_document_opens_an_execution(face: Face, control: Control) -> None:
    document = a_job()
    document["spec"]["startExecutionToken"] = "one"
    job = (await face.ask("POST", JOBS, document)).body
    assert job["status"]["latestCreatedExecution"]["name"] == "nightly-one"
    assert job["status"]["conditions"][0]["status"] == "Unknown"
    assert control.runner.looks == 1


async def test_what_runs_is_ended_before_the_job_is_gone(face: Face, control: Control) -> None:
    await face.ask("POST", JOBS, a_job())
    name = (await face.ask("POST", f"{JOBS}/nightly:run")).body["metadata"]["name"]
    uid = control.store.get_execution(Scope(), name).uid
    control.runner.start(uid)
    status, body = await face.ask("DELETE", f"{JOBS}/nightly?propagationPolicy=Background")
    assert (status, body["kind"], body["status"]) == (200, "Status", "Success")
    assert (await face.ask("GET", f"{JOBS}/nightly")).status == 404
    assert (await face.ask("GET", f"{BASE}/executions/{name}")).status == 404
    assert uid in control.logs.deleted


async def test_the_latest_execution_is_shown_as_it_stands(face: Face, control: Control) -> None:
    await face.ask("POST", JOBS, a_job())
    name = (await face.ask("POST", f"{JOBS}/nightly:run")).body["metadata"]["name"]
    uid = control.store.get_execution(Scope(), name).uid

    async def completion() -> str:
        status = (await face.ask("GET", f"{JOBS}/nightly")).body["status"]
        return str(status["latestCreatedExecution"]["completionStatus"])

    control.runner.start(uid)
    assert await completion() == "EXECUTION_RUNNING"
    control.runner.end(uid, ExecutionState.SUCCEEDED)
    assert await completion() == "EXECUTION_SUCCEEDED"
