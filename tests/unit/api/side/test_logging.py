"""Log entries by filter, order and page, as gcloud asks for them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from jobrunner.api.side import logging
from jobrunner.core.records import Attempt, AttemptKey, Execution, Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.core.states import AttemptState, ExecutionState
from jobrunner.core.timestamps import format_time
from jobrunner.ports import LogChunk, Move, Turn
from jobrunner.service import entries, make_service
from jobrunner.service.parts import Parts
from tests.support.control import Control
from tests.support.face import Face, Said

SPEC = JobSpec(
    template=ExecutionTemplate(
        template=TaskTemplate(containers=(Container(command=("true",)),)), task_count=3
    ),
    labels={"team": "x", "example.com/a": "b", "client.knative.dev/nonce": "c"},
)
GCLOUD = (
    "resource.type = cloud_run_job \n AND resource.labels.job_name = nightly \n AND"
    " resource.labels.location = us-central1 \n AND severity >= DEFAULT \n"
)


class Logs:
    """A log store in memory, which remembers what was read."""

    def __init__(self) -> None:
        self.held: dict[AttemptKey, list[LogChunk]] = {}
        self.read: list[AttemptKey] = []

    def chunks(self, key: AttemptKey) -> Iterator[LogChunk]:
        self.read.append(key)
        yield from self.held.get(key, ())


class World:
    def __init__(self) -> None:
        self.control = Control()
        self.store, self.clock = self.control.store, self.control.clock
        self.logs = Logs()
        self.service = make_service(
            self.store, self.logs, self.clock, self.control.ids, actor="me"  # type: ignore[arg-type]
        )  # fmt: skip
        for name in ("nightly", "hourly"):
            self.service.jobs.create(Scope(), name, SPEC)
        control = self.control
        parts = Parts(
            self.service,
            control.commit,
            control.runner,
            self.clock,
            control.ids,
            Scope(),
            self.clock,
        )
        self.face = Face(logging.methods(parts), region=None)

    def execution(self, job: str = "nightly", lines: int = 0) -> Execution:
        """Ran from now on for a second, each of three tasks wrote ``lines`` lines."""
        execution = self.service.executions.run(Scope(), job)
        begun = self.clock.now()
        for index in range(3):
            texts = [f"{execution.name} {index} {number}" for number in range(lines)]
            self.write(execution, index, *texts)
        self.clock.advance(1)
        claimed = self.store.claim(execution.uid, "me", now=begun, ttl=9)
        ended = replace(claimed, state=ExecutionState.SUCCEEDED, completed_at=self.clock.now())
        self.store.record(Turn(ended, at=self.clock.now()))
        self.clock.advance(10)
        return ended

    def write(
        self, execution: Execution, index: int, *texts: str, stream: int = 1, ends: bool = True
    ) -> AttemptKey:
        """One attempt with these lines, spread over a tenth of a second."""
        now = self.clock.now()
        claimed = self.store.claim(execution.uid, "me", now=now, ttl=9)
        attempt = Attempt(execution.uid, index, 0, AttemptState.STARTING, claimed_at=now)
        self.store.record(Turn(claimed, opened=[attempt], at=now))
        if ends:
            ended = replace(attempt, state=AttemptState.SUCCEEDED, ended_at=now + 0.2)
            self.store.record(Turn(claimed, moved=[Move(attempt.state, ended)], at=now))
        self.logs.held[attempt.key] = [
            LogChunk(now + place * 0.1 / len(texts), stream, text.encode() + b"\n")
            for place, text in enumerate(texts)
        ]
        return attempt.key

    async def ask(self, filter: str = "", order: str = "timestamp desc", **more: Any) -> Said:
        body = {
            "filter": filter,
            "orderBy": order,
            "pageSize": 1000,
            "resourceNames": ["projects/local"],
            **more,
        }
        return await self.face.ask("POST", "/v2/entries:list", body)

    async def texts(self, filter: str = "", **more: Any) -> list[str]:
        said = await self.ask(filter, **more)
        assert said.status == 200, said
        return [entry.get("textPayload", "json") for entry in said.body.get("entries", ())]


@pytest.fixture
def world() -> Iterator[World]:
    opened = World()
    yield opened
    opened.control.close()


async def test_an_entry_is_what_the_contract_says(world: World) -> None:
    execution = world.service.executions.run(Scope(), "nightly")
    at = format_time(world.clock.now())
    world.write(execution, 2, "hello", stream=2)
    (entry,) = (await world.ask(GCLOUD)).body["entries"]
    labels = entry.pop("labels")
    assert len(entry.pop("insertId")) == 20
    assert len(labels.pop("instanceId")) == 64
    assert labels == {
        "team": "x",
        "example.com/a": "b",
        "run.googleapis.com/execution_name": execution.name,
        "run.googleapis.com/task_index": "2",
        "run.googleapis.com/task_attempt": "0",
    }
    assert entry == {
        "timestamp": at,
        "receiveTimestamp": at,
        "severity": "DEFAULT",
        "textPayload": "hello",
        "logName": "projects/local/logs/run.googleapis.com%2Fstderr",
        "resource": {
            "type": "cloud_run_job",
            "labels": {
                "project_id": "local",
                "location": "us-central1",
                "job_name": "nightly",
            },
        },
    }


async def test_a_json_line_is_a_payload_and_a_bare_message_is_text(world: World) -> None:
    execution = world.service.executions.run(Scope(), "nightly")
    world.write(
        execution,
        0,
        '{"message": "m", "severity": "ERROR"}',
        '{"message": "n", "user": 7, "logging.googleapis.com/labels": {"a": "b"}}',
    )
    payload, text = (await world.ask(GCLOUD)).body["entries"]
    assert (text["textPayload"], text["severity"]) == ("m", "ERROR")
    assert payload["jsonPayload"] == {"message": "n", "user": 7}
    assert payload["labels"]["a"] == "b"
    assert await world.texts("severity>=ERROR AND " + GCLOUD) == ["m"]
    assert await world.texts("jsonPayload.user=7") == ["json"]


async def test_a_gap_in_the_output_is_an_entry_of_the_system(world: World) -> None:
    execution = world.service.executions.run(Scope(), "nightly")
    key = world.write(execution, 0, "a", "b")
    world.logs.held[key].insert(1, LogChunk(world.clock.now(), 1, b"", dropped=77))
    said = (await world.ask(order="timestamp asc")).body["entries"]
    (gap,) = [entry for entry in said if entry["logName"].endswith("varlog%2Fsystem")]
    assert gap["textPayload"] == "77 bytes of output are not kept here."


async def test_the_last_line_of_what_still_runs_is_shown_when_it_is_whole(world: World) -> None:
    execution = world.service.executions.run(Scope(), "nightly")
    key = world.write(execution, 0, "whole", ends=False)
    world.logs.held[key].append(LogChunk(world.clock.now(), 1, b"half"))
    assert await world.texts() == ["whole"]


@pytest.mark.parametrize("order", ["timestamp asc", "timestamp desc"])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_pages_follow_one_another_and_miss_nothing(
    world: World, order: str, size: int
) -> None:
    names = [world.execution(lines=3).name for _ in range(4)]
    world.execution("hourly", lines=3)
    found: list[str] = []
    stamps: list[str] = []
    token = ""
    while True:
        body = (await world.ask(GCLOUD, order, pageSize=size, pageToken=token)).body
        page = body.get("entries", [])
        assert len(page) <= size
        found += [entry["textPayload"] for entry in page]
        stamps += [entry["timestamp"] for entry in page]
        token = body.get("nextPageToken", "")
        if not token:
            break
    assert stamps == sorted(stamps, reverse=order.endswith("desc"))
    assert sorted(found) == sorted(
        f"{name} {index} {line}" for name in names for index in range(3) for line in range(3)
    )


async def test_the_newest_entries_are_found_without_reading_the_rest(world: World) -> None:
    for _ in range(30):
        world.execution(lines=5)
    world.logs.read.clear()
    assert len(await world.texts(GCLOUD, pageSize=5)) == 5
    assert len(world.logs.read) <= 6
    world.logs.read.clear()
    assert len(await world.texts(GCLOUD, pageSize=5, orderBy="timestamp asc")) == 5
    assert len(world.logs.read) <= 6


async def test_an_older_execution_that_still_writes_is_among_the_newest(world: World) -> None:
    long = world.service.executions.run(Scope(), "nightly")
    key = world.write(long, 0, "begun", ends=False)
    for _ in range(5):
        world.execution(lines=5)
    world.logs.held[key].append(LogChunk(world.clock.now(), 1, b"still here\n"))
    assert (await world.texts(GCLOUD, pageSize=2))[0] == "still here"


async def test_only_executions_of_the_wanted_time_are_read(world: World) -> None:
    for _ in range(10):
        world.execution(lines=1)
    world.logs.read.clear()
    since = format_time(world.clock.now() - 12)
    assert len(await world.texts(f'{GCLOUD} AND timestamp>="{since}"')) == 3
    assert len(world.logs.read) == 3


@pytest.mark.parametrize(
    ("filter", "count"),
    [
        ("", 6),
        ("resource.labels.job_name=hourly", 3),
        ("resource.type=cloud_run_revision", 0),
        ("resource.labels.location=us-west1", 0),
        ("resource.labels.job_name=a resource.labels.job_name=b", 0),
        ('labels."run.googleapis.com/execution_name"=missing', 0),
        ('labels."run.googleapis.com/task_index"=1', 2),
        ("textPayload:nightly", 3),
        ('labels.team="x"', 6),
        ('log_id("run.googleapis.com/stdout")', 6),
    ],
)
async def test_the_filter_is_obeyed(world: World, filter: str, count: int) -> None:
    world.execution(lines=1)
    world.execution("hourly", lines=1)
    assert len(await world.texts(filter)) == count


async def test_one_execution_is_read_by_its_name(world: World) -> None:
    world.execution(lines=1)
    one = world.execution(lines=1)
    world.logs.read.clear()
    filter = (
        "resource.type = cloud_run_job \n AND"
        f' labels."run.googleapis.com/execution_name" = {one.name} \n AND'
        " resource.labels.location = us-central1 \n AND severity >= DEFAULT"
    )
    assert await world.texts(filter) == [f"{one.name} {index} 0" for index in (2, 1, 0)]
    assert len(world.logs.read) == 3


async def test_other_projects_are_others(world: World) -> None:
    world.execution(lines=1)
    assert await world.texts(resourceNames=["projects/demo"]) == []
    number = str(world.store.project_number("local"))
    assert len(await world.texts(resourceNames=[f"projects/{number}", "projects/local"])) == 3


async def test_a_page_of_very_long_lines_is_cut_short(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MAX_BYTES", 5000)
    execution = world.service.executions.run(Scope(), "nightly")
    world.write(execution, 0, *("x" * 1500 for _ in range(20)))
    sizes = []
    token = ""
    while True:
        body = (await world.ask(pageToken=token)).body
        sizes.append(len(body.get("entries", ())))
        token = body.get("nextPageToken", "")
        if not token:
            break
    assert sum(sizes) == 20
    assert max(sizes) <= 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"filter": "colour=red"}, "filter"),
        ({"orderBy": "severity"}, "orderBy"),
        ({"pageSize": -1}, "pageSize"),
        ({"pageSize": "many"}, "pageSize"),
        ({"resourceNames": []}, "resourceNames"),
        ({"resourceNames": ["folders/1"]}, "resourceNames"),
        ({"resourceNames": "projects/local"}, "resourceNames"),
        ({"pageToken": "rubbish"}, "pageToken"),
        ({"colour": 1}, "colour"),
        ({"filter": 7}, "filter"),
    ],
)
async def test_what_is_wrong_is_named(world: World, body: dict[str, Any], field: str) -> None:
    status, said = await world.ask(**body)
    assert status == 400
    assert field in [v["field"] for v in said["error"]["details"][0]["fieldViolations"]]


async def test_a_token_is_bound_to_its_question(world: World) -> None:
    world.execution(lines=3)
    token = (await world.ask(GCLOUD, pageSize=2)).body["nextPageToken"]
    assert (await world.ask("", pageSize=2, pageToken=token)).status == 400
    assert (await world.ask(GCLOUD, "timestamp asc", pageToken=token)).status == 400
    assert (await world.ask(GCLOUD, pageSize=9, pageToken=token)).status == 200


async def test_whatever_the_lines_the_pages_are_those_of_a_sorted_list(world: World) -> None:
    chance = random.Random(7)
    for _ in range(12):
        world.execution(lines=chance.randrange(6))
        world.clock.advance(-chance.choice([0, 10.5]))
    for order, reverse in (("timestamp asc", False), ("timestamp desc", True)):
        everything = (await world.ask(order=order)).body["entries"]
        stamps = [entry["timestamp"] for entry in everything]
        assert stamps == sorted(stamps, reverse=reverse)
        paged: list[Any] = []
        token = ""
        while True:
            body = (await world.ask(order=order, pageSize=4, pageToken=token)).body
            paged += body.get("entries", [])
            token = body.get("nextPageToken", "")
            if not token:
                break
        assert paged == everything
