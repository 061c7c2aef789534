"""``/jobrunner/v1/schedules``: pages, guards, and what documents do not show."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobrunner.calls import Call, Method
from jobrunner.errors import Conflict, InvalidSpec, NotFound
from jobrunner.service import make_service
from jobrunner.store.logs import FileLogs
from tests.support.schedules import WHERE, World
from triggers.api.schedules.methods import schedule_methods
from triggers.core.records import HttpTarget

T = TypeVar("T")
PING = {"name": "ping", "schedule": "* * * * *", "httpTarget": {"uri": "http://x/y"}}


class Face:
    def __init__(self, world: World, tmp_path: Path) -> None:
        self.world = world
        self.changes = 0
        logs = FileLogs(str(tmp_path))
        service = make_service(world.jobs, logs, world.clock, world.ids, actor="me")
        self.methods = schedule_methods(world.service, service, self.commit, WHERE, self.changed)

    async def commit(self, work: Callable[[], T]) -> T:
        return self.world.commit(work)

    def changed(self) -> None:
        self.changes += 1

    def method(self, name: str) -> Method:
        [found] = [one for one in self.methods if one.name == f"jobrunner.schedules.{name}"]
        return found

    def call(self, name: str, schedule: str = "", body: Any = None, **query: str) -> Any:
        params = {**query, **({"schedule": schedule} if schedule else {})}

        async def answer() -> Any:
            return await self.method(name).handler(Call(params, body))

        return asyncio.run(answer()).body


@pytest.fixture
def face(tmp_path: Path) -> Face:
    return Face(World(), tmp_path)


def test_a_document_that_was_read_can_be_written_again(face: Face) -> None:
    made = face.call("create", body=PING)
    again = face.call("replace", "ping", made)
    moving = ("resourceVersion", "updatedAt")
    assert {k: v for k, v in again.items() if k not in moving} == {
        k: v for k, v in made.items() if k not in moving
    }
    assert again["resourceVersion"] == made["resourceVersion"] + 1
    assert face.changes == 2


def test_what_somebody_else_has_changed_is_not_written_over(face: Face) -> None:
    old = face.call("create", body=PING)
    face.call("pause", "ping")
    with pytest.raises(Conflict):
        face.call("replace", "ping", old)
    assert face.call("get", "ping")["state"] == "PAUSED"
    del old["resourceVersion"]
    assert face.call("replace", "ping", old)["state"] == "PAUSED"


def test_what_a_document_does_not_show_stays(face: Face) -> None:
    face.call("create", body=PING)
    hidden = HttpTarget("http://x/y", verify_tls=False, proxy="http://proxy")
    world = face.world
    world.commit(
        lambda: world.service.update(WHERE, "ping", lambda old: replace(old, target=hidden))
    )
    changed = face.call("get", "ping") | {"httpTarget": {"uri": "http://x/z"}}
    face.call("replace", "ping", changed)
    target = world.service.find(WHERE, "ping").schedule.target
    assert target == replace(hidden, url="http://x/z")


def test_what_is_armed_stays_armed_where_nothing_of_its_time_changes(face: Face) -> None:
    made = face.call("create", body={**PING, "start": "2020-01-01T00:00:00.123456789Z"})
    face.world.clock.advance(30)
    changed = face.call("replace", "ping", {**made, "description": "new"})
    assert changed["armedFrom"] == made["armedFrom"]


def test_a_job_has_to_be_there_when_it_is_named(face: Face) -> None:
    body = {"name": "n", "schedule": "* * * * *", "jobTarget": {"job": "report"}}
    with pytest.raises(NotFound):
        face.call("create", body=body)
    with pytest.raises(NotFound):
        face.call("get", "n")


def test_lists_go_page_by_page_with_what_each_one_did_last(face: Face) -> None:
    for number in range(5):
        face.call("create", body={**PING, "name": f"s{number}"})
    face.call("run", "s3")
    first = face.call("list", pageSize="3")
    rest = face.call("list", pageSize="3", pageToken=first["nextPageToken"])
    rows = first["schedules"] + rest["schedules"]
    assert [row["name"] for row in rows] == ["s0", "s1", "s2", "s3", "s4"]
    assert "nextPageToken" not in rest
    assert rows == [face.call("get", row["name"]) for row in rows]
    with pytest.raises(InvalidSpec):
        face.call("list", region="europe-west1", pageToken=first["nextPageToken"])


def test_occurrences_of_one_instant_are_never_parted(face: Face) -> None:
    face.call("create", body=PING)
    for _ in range(4):
        face.call("run", "ping")
    face.world.clock.advance(1)
    face.call("run", "ping")
    pages, token = [], ""
    while True:
        answer = face.call("occurrences", "ping", pageSize="2", pageToken=token)
        pages.append(len(answer["occurrences"]))
        token = answer.get("nextPageToken", "")
        if not token:
            break
    assert [count for count in pages if count] == [1, 4]


def test_a_long_range_is_compared_part_by_part(face: Face) -> None:
    face.call("create", body=PING)
    face.world.clock.advance(600)
    whole = face.call("compare", "ping")["rows"]
    parts, start = [], {}
    while True:
        answer = face.call("compare", "ping", pageSize="3", **start)
        parts += answer["rows"]
        if "nextStart" not in answer:
            break
        start = {"start": answer["nextStart"]}
    assert len(whole) == 11
    assert parts == whole


@pytest.mark.parametrize(
    ("call", "about"),
    [
        (Call({}, {"name": "a b"}), "projects/local/locations/us-central1/schedules/a%20b"),
        (Call({}, {"name": "a", "region": "r"}), "projects/local/locations/r/schedules/a"),
        (Call({"schedule": "x", "project": "p"}), "projects/p/locations/us-central1/schedules/x"),
        (Call({}, None), ""),
        (Call({}, {"name": 1}), ""),
    ],
)
def test_the_audit_log_hears_what_a_call_is_about(face: Face, call: Call, about: str) -> None:
    told = face.method("create").about
    assert told is not None
    assert told(call) == about


def test_a_range_that_cannot_be_read_is_named(face: Face) -> None:
    face.call("create", body=PING)
    with pytest.raises(InvalidSpec, match="end: it is missing"):
        face.call("backfill", "ping", {"id": "b", "start": "2026-01-01T00:00:00Z"})
    with pytest.raises(InvalidSpec, match="start: 'soon' is not a time"):
        face.call("compare", "ping", start="soon")
    with pytest.raises(InvalidSpec, match="allowed: an object"):
        face.call("create", body=[])
