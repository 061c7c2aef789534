"""The Scheduler API: documents in and out, masks, names and errors."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobrunner.api.errors import status_of
from jobrunner.calls import Call
from jobrunner.errors import InvalidSpec, JobrunnerError
from jobrunner.service import make_service
from jobrunner.service.parts import Parts
from jobrunner.store.logs import FileLogs
from tests.support.schedules import WHERE, IdleRunner, World
from triggers.api.scheduler.methods import scheduler_methods
from triggers.core.records import JobTarget, OAuthToken, Overlap, PubsubTarget
from triggers.core.states import DeliveryState

T = TypeVar("T")
PARENT = "projects/local/locations/us-central1"
JOB = {
    "name": f"{PARENT}/jobs/j1",
    "schedule": "*/5 * * * *",
    "timeZone": "Etc/UTC",
    "httpTarget": {
        "uri": "http://x/y",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "body": "eyJhIjoxfQ==",
        "oidcToken": {"serviceAccountEmail": "a@b.c"},
    },
    "retryConfig": {
        "maxBackoffDuration": "3600s",
        "maxDoublings": 5,
        "minBackoffDuration": "5s",
        "retryCount": 0,
    },
}


class Face:
    def __init__(self, world: World, tmp_path: Path) -> None:
        self.world = world
        self.changes = 0
        clock, ids = world.clock, world.ids
        service = make_service(world.jobs, FileLogs(str(tmp_path)), clock, ids, actor="me")
        parts = Parts(service, self.commit, IdleRunner(), clock, ids, WHERE, clock)
        self.methods = scheduler_methods(world.service, parts, self.changed)

    async def commit(self, work: Callable[[], T]) -> T:
        return self.world.commit(work)

    def changed(self) -> None:
        self.changes += 1

    def call(self, name: str, job: str = "j1", body: Any = None, **params: str) -> Any:
        [method] = [one for one in self.methods if one.name == f"cloudscheduler.jobs.{name}"]
        place = {"project": "local", "location": "us-central1", "job": job}

        async def answer() -> Any:
            return await method.handler(Call({**place, **params}, body))

        return asyncio.run(answer()).body


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def face(world: World, tmp_path: Path) -> Face:
    return Face(world, tmp_path)


def refused(face: Face, *words: Any, **params: Any) -> tuple[int, str]:
    with pytest.raises(JobrunnerError) as error:
        face.call(*words, **params)
    said = error.value
    text = str(said.violations[0]) if isinstance(said, InvalidSpec) else said.message
    return status_of(said).http, text


def test_a_job_is_answered_as_the_contract_has_it(face: Face) -> None:
    made = face.call("create", body=JOB)
    assert made == {
        **JOB,
        "httpTarget": {
            **JOB["httpTarget"],  # type: ignore[dict-item]
            "headers": {
                "Content-Type": "application/json",
                "User-Agent": "Google-Cloud-Scheduler",
            },
            "oidcToken": {"serviceAccountEmail": "a@b.c", "audience": "http://x/y"},
        },
        # Zeros are left out.
        "retryConfig": {
            "maxRetryDuration": "0s",
            "maxBackoffDuration": "3600s",
            "maxDoublings": 5,
            "minBackoffDuration": "5s",
        },
        "attemptDeadline": "180s",
        "state": "ENABLED",
        "status": {"code": -1},
        "userUpdateTime": "2025-06-15T15:07:00.000000Z",
        "scheduleTime": "2025-06-15T15:10:00.000000Z",
    }
    assert face.call("get") == made
    assert face.call("list") == {"jobs": [made]}
    assert face.changes == 1


def test_numbers_stand_for_methods_and_any_alphabet_of_base64_is_read(face: Face) -> None:
    body = b"\xfb\xff\xfe"
    target = {"uri": "http://x/", "httpMethod": 4, "body": urlsafe_b64encode(body).decode()}
    made = face.call("create", body={**JOB, "httpTarget": target})
    assert made["httpTarget"]["httpMethod"] == "PUT"
    assert made["httpTarget"]["body"] == "+//+"


def test_a_job_without_a_name_gets_one(face: Face) -> None:
    made = face.call("create", body={key: JOB[key] for key in JOB if key != "name"})
    assert made["name"].startswith(f"{PARENT}/jobs/job-")


def test_only_what_the_mask_names_is_changed(face: Face, world: World) -> None:
    face.call("create", body={**JOB, "timeZone": "Europe/Berlin"})
    before = face.call("get")
    body = {
        "httpTarget": {"httpMethod": "PUT"},
        "retryConfig": {"retryCount": 3, "maxDoublings": 9},
        "schedule": "0 * * * *",
        "timeZone": "Etc/UTC",
    }
    after = face.call("update", body=body, updateMask="retryConfig.retryCount,schedule")
    assert after["retryConfig"] == {**before["retryConfig"], "retryCount": 3}
    assert after["schedule"] == "0 * * * *"
    assert after["timeZone"] == "Europe/Berlin"
    assert after["httpTarget"] == before["httpTarget"]
    again = face.call("update", body={}, updateMask="retry_config.retry_count")
    assert again["retryConfig"] == before["retryConfig"]


def test_a_mask_reaches_into_the_target_and_the_tokens_exclude_each_other(
    face: Face, world: World
) -> None:
    face.call("create", body=JOB)
    mask = "httpTarget.oauthToken.serviceAccountEmail,httpTarget.uri"
    body = {"httpTarget": {"uri": "http://z/", "oauthToken": {"serviceAccountEmail": "o@b.c"}}}
    after = face.call("update", body=body, updateMask=mask)
    assert after["httpTarget"]["oauthToken"]["serviceAccountEmail"] == "o@b.c"
    assert "oidcToken" not in after["httpTarget"]
    assert after["httpTarget"]["body"] == "eyJhIjoxfQ=="
    token = world.service.find(WHERE, "j1").schedule.target.token  # type: ignore[union-attr]
    assert isinstance(token, OAuthToken)


def test_headers_of_a_patch_are_added_and_none_clears_them(face: Face) -> None:
    face.call("create", body=JOB)
    body: dict[str, Any] = {"httpTarget": {"headers": {"X-A": "b"}}}
    after = face.call("update", body=body, updateMask="httpTarget.headers")
    assert after["httpTarget"]["headers"] == {
        "Content-Type": "application/json",
        "X-A": "b",
        "User-Agent": "Google-Cloud-Scheduler",
    }
    body = {"httpTarget": {"headers": {"X-A": None}}}
    after = face.call("update", body=body, updateMask="httpTarget.headers")
    assert "X-A" not in after["httpTarget"]["headers"]
    for empty in ({"httpTarget": {}}, {"httpTarget": {"headers": {}}}):
        after = face.call("update", body=empty, updateMask="httpTarget.headers")
        assert after["httpTarget"]["headers"] == {"User-Agent": "Google-Cloud-Scheduler"}


def test_a_job_can_publish_a_message(face: Face, world: World) -> None:
    target = {"topicName": "projects/local/topics/t-1", "data": "aGk=", "attributes": {"a": "b"}}
    job = {key: JOB[key] for key in ("name", "schedule")}
    made = face.call("create", body={**job, "pubsubTarget": target})
    assert made["pubsubTarget"] == target
    assert ("httpTarget" in made, "attemptDeadline" in made) == (False, False)
    body = {"pubsubTarget": {"data": "aG8="}, "retryConfig": {"maxDoublings": 5}}
    after = face.call("update", body=body, updateMask="pubsubTarget.data")
    assert after["pubsubTarget"] == {**target, "data": "aG8="}
    assert face.call("run")["state"] == "ENABLED"
    [delivery] = world.sent()
    assert delivery.target == PubsubTarget("projects/local/topics/t-1", b"ho", (("a", "b"),))
    assert delivery.payload is None


def test_a_token_is_cleared_by_naming_all_of_it(face: Face) -> None:
    face.call("create", body=JOB)
    mask = ",".join(
        f"httpTarget.{one}"
        for one in (
            "oidcToken.serviceAccountEmail",
            "oidcToken.audience",
            "oauthToken.serviceAccountEmail",
            "oauthToken.scope",
        )
    )
    after = face.call("update", body={"httpTarget": {"httpMethod": "POST"}}, updateMask=mask)
    assert "oidcToken" not in after["httpTarget"]
    assert "oauthToken" not in after["httpTarget"]
    said = refused(
        face,
        "update",
        body={"httpTarget": {"oidcToken": {"audience": "x"}}},
        updateMask="httpTarget.oidcToken.audience",
    )
    assert said == (400, "httpTarget.oidcToken.serviceAccountEmail: it is missing")


def test_what_only_we_have_outlives_a_patch(face: Face, world: World) -> None:
    world.create("j1", target=JobTarget("report"), overlap=Overlap.FORBID)
    shown = face.call("update", body={"description": "x"}, updateMask="description")
    assert shown["httpTarget"]["uri"] == (
        "https://run.googleapis.com/v2/projects/local/locations/us-central1/jobs/report:run"
    )
    schedule = world.service.find(WHERE, "j1").schedule
    assert (schedule.target, schedule.overlap) == (JobTarget("report"), Overlap.FORBID)


def test_pausing_resuming_running_and_removing(face: Face, world: World) -> None:
    face.call("create", body=JOB)
    paused = face.call("pause")
    assert (paused["state"], "scheduleTime" in paused) == ("PAUSED", False)
    assert refused(face, "pause")[0] == 400
    assert face.call("resume")["state"] == "ENABLED"
    assert refused(face, "resume")[0] == 400
    assert face.call("run")["state"] == "ENABLED"
    [delivery] = world.sent()
    assert delivery.state is DeliveryState.PENDING
    assert face.call("delete") == {}
    assert refused(face, "get") == (404, f"Job {PARENT}/jobs/j1 not found.")


def test_the_status_is_that_of_the_last_attempt(face: Face, world: World) -> None:
    face.call("create", body=JOB)
    face.call("run")
    assert face.call("get")["status"] == {"code": -1}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schedule": "* * * *"}, "schedule: '* * * *' has 4 fields"),
        ({"schedule": ""}, "schedule: it is missing"),
        ({"timeZone": "Nowhere"}, "timeZone: 'Nowhere' is not a time zone"),
        (
            {"httpTarget": None},
            "target: there is none; allowed: exactly one, httpTarget or pubsubTarget",
        ),
        ({"pubsubTarget": {"topicName": "t"}}, "target: httpTarget and pubsubTarget are set"),
        ({"attemptDeadline": "5s"}, "attemptDeadline: 5s is not from 15s to 1800s"),
        ({"attemptDeadline": 5}, "attemptDeadline: 5 is not a duration"),
        ({"retryConfig": {"retryCount": 6}}, "retryConfig.retryCount: 6 is not from 0 to 5"),
        ({"name": f"{PARENT}/jobs/a.b"}, "name: 'a.b' is not a name of a schedule"),
        ({"name": "j1"}, "job.name: 'j1' is not a name of a job"),
        ({"name": "projects/other/locations/us-central1/jobs/j"}, "is not in the parent"),
        ({"schedul": "x"}, 'schedul: Unknown name "schedul"'),
        ({"httpTarget": {"uri": "x"}}, "httpTarget.uri: 'x' must start with"),
        ({"httpTarget": {"uri": "http://x", "httpMethod": "get"}}, "httpTarget.httpMethod: 'get'"),
        ({"httpTarget": {"uri": "http://x", "body": "!"}}, "httpTarget.body: '!' is not base64"),
        (
            {"httpTarget": {"uri": "http://x", "httpMethod": "GET", "body": "aGk="}},
            "httpTarget.body: GET takes none",
        ),
    ],
)
def test_bad_jobs_are_refused_with_field_value_and_form(
    face: Face, change: dict[str, Any], says: str
) -> None:
    code, text = refused(face, "create", body={**JOB, **change})
    assert code == 400
    assert says in text


@pytest.mark.parametrize("mask", ["nonsense", "schedule;x", "httpTarget..uri"])
def test_a_mask_that_names_no_field_is_refused(face: Face, mask: str) -> None:
    face.call("create", body=JOB)
    assert refused(face, "update", body=JOB, updateMask=mask)[0] == 400


def test_names_are_taken_once(face: Face) -> None:
    face.call("create", body=JOB)
    said = refused(face, "create", body=JOB)
    assert said == (409, f"Job {PARENT}/jobs/j1 already exists.")


def test_lists_come_page_by_page(face: Face) -> None:
    for name in ("a", "b", "c"):
        face.call("create", body={**JOB, "name": f"{PARENT}/jobs/{name}"})
    first = face.call("list", pageSize="2")
    rest = face.call("list", pageSize="2", pageToken=first["nextPageToken"], location="us-central1")
    assert [job["name"][-1] for job in (*first["jobs"], *rest["jobs"])] == ["a", "b", "c"]
    assert "nextPageToken" not in rest
    assert face.call("list", project="other") == {}
    assert len(face.call("list", location="-")["jobs"]) == 3
