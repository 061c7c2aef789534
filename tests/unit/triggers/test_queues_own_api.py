"""``/jobrunner/v1/queues``: pages, guards, roles, and what the audit log says."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobrunner.calls import Call, Method, Role
from jobrunner.errors import Conflict, InvalidSpec, NotFound
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.ids import CountedIds
from jobrunner.service import make_service
from jobrunner.store import open_store
from jobrunner.store.logs import FileLogs
from jobrunner.store.sql import SqlStore
from tests.support.queues import HERE
from triggers.api.queues.methods import queue_methods
from triggers.service.queues import Queues
from triggers.store import open_deliveries, open_queues

T = TypeVar("T")
CALL = {"httpTarget": {"uri": "http://sink.example.com/x"}}


class Face:
    def __init__(self, tmp_path: Path) -> None:
        self.looks = 0
        jobs = open_store("sqlite:///:memory:")
        assert isinstance(jobs, SqlStore)
        clock, ids = FakeClock(), CountedIds()
        deliveries = open_deliveries(jobs.database)
        queues = Queues(open_queues(jobs.database), deliveries, clock, ids)
        service = make_service(jobs, FileLogs(str(tmp_path)), clock, ids, actor="me")
        self.methods = queue_methods(queues, service, self.commit, HERE, self.look)

    async def commit(self, work: Callable[[], T]) -> T:
        return work()

    def look(self) -> None:
        self.looks += 1

    def method(self, name: str) -> Method:
        [found] = [one for one in self.methods if one.name == f"jobrunner.queues.{name}"]
        return found

    def call(
        self, name: str, queue: str = "", item: str = "", body: Any = None, **query: str
    ) -> Any:
        names = {"queue": queue, "item": item}
        params = {**query, **{key: value for key, value in names.items() if value}}

        async def answer() -> Any:
            return await self.method(name).handler(Call(params, body))

        return asyncio.run(answer()).body


@pytest.fixture
def face(tmp_path: Path) -> Face:
    return Face(tmp_path)


def test_a_document_that_was_read_can_be_written_again(face: Face) -> None:
    made = face.call("create", body={"name": "mail", "rateLimits": {"maxDispatchesPerSecond": 7}})
    again = face.call("replace", "mail", body=made)
    assert again == {**made, "resourceVersion": made["resourceVersion"] + 1}
    assert face.looks == 2


def test_what_somebody_else_has_changed_is_not_written_over(face: Face) -> None:
    old = face.call("create", body={"name": "mail"})
    face.call("pause", "mail")
    with pytest.raises(Conflict):
        face.call("replace", "mail", body=old)
    del old["resourceVersion"]
    assert face.call("replace", "mail", body=old)["state"] == "PAUSED", "its state is its own"


def test_queues_and_items_come_in_pages(face: Face) -> None:
    for name in ("c", "a", "b"):
        face.call("create", body={"name": name})
    page = face.call("list", pageSize="2")
    rest = face.call("list", pageSize="2", pageToken=page["nextPageToken"])
    names = [[one["name"] for one in each["queues"]] for each in (page, rest)]
    assert names == [["a", "b"], ["c"]]
    assert "nextPageToken" not in rest
    for name in ("x", "y", "z"):
        face.call("items.add", "a", body={**CALL, "name": name})
    page = face.call("items.list", "a", pageSize="2")
    face.call("items.delete", "a", "y")
    rest = face.call("items.list", "a", pageSize="2", pageToken=page["nextPageToken"])
    assert [one["name"] for one in rest["items"]] == ["z"]
    with pytest.raises(InvalidSpec, match="pageToken"):
        face.call("items.list", "b", pageToken=page["nextPageToken"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "q", "rateLimit": {}}, "rateLimit"),
        ({"name": "q", "rateLimits": {"maxDispatchesPerSecond": "5"}}, "maxDispatchesPerSecond"),
        ({"name": "q", "rateLimits": {"maxBurst": 5}}, "rateLimits.maxBurst"),
        ({"name": "q", "retryConfig": {"minBackoff": "1h"}}, "retryConfig.minBackoff"),
        ({"name": "q", "httpTarget": {"uriOverride": {"enforce": "X"}}}, "uriOverride.enforce"),
        ({"name": 5}, "name"),
        (None, "body"),
    ],
)
def test_a_queue_that_cannot_be_read_is_refused_by_its_field(
    face: Face, body: Any, field: str
) -> None:
    with pytest.raises(InvalidSpec, match=field.replace(".", r"\.")):
        face.call("create", body=body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "target"),
        ({**CALL, "jobTarget": {"job": "j"}}, "target"),
        ({"jobTarget": {"job": "j"}, "dispatchDeadline": "60s"}, "dispatchDeadline"),
        ({**CALL, "scheduleTime": "soon"}, "scheduleTime"),
        ({**CALL, "when": "soon"}, "when"),
        ({**CALL, "dispatchDeadline": "5s"}, "dispatchDeadline"),
    ],
)
def test_an_item_that_cannot_be_read_is_refused_by_its_field(
    face: Face, body: Any, field: str
) -> None:
    face.call("create", body={"name": "mail"})
    with pytest.raises(InvalidSpec, match=field):
        face.call("items.add", "mail", body=body)


def test_an_item_may_bring_retries_of_its_own(face: Face) -> None:
    face.call("create", body={"name": "mail"})
    made = face.call("items.add", "mail", body={**CALL, "retryConfig": {"maxAttempts": 2}})
    assert made["state"] == "PENDING"
    with pytest.raises(NotFound):
        face.call("items.add", "mail", body={"jobTarget": {"job": "nobody"}})


def test_who_may_only_run_things_cannot_have_the_server_call_anything(face: Face) -> None:
    invoker = {one.name for one in face.methods if one.role is Role.INVOKER}
    assert invoker == {"jobrunner.queues.items.run"}


def test_the_audit_log_names_the_queue_and_the_item(face: Face) -> None:
    def about(name: str, params: dict[str, str], body: Any = None) -> str:
        told = face.method(name).about
        assert told is not None
        return told(Call(params, body))

    place = "projects/local/locations/us-central1/queues"
    assert about("create", {}, {"name": "a/b", "project": "p"}) == (
        "projects/p/locations/us-central1/queues/a%2Fb"
    )
    assert about("items.run", {"queue": "q", "item": "i"}) == f"{place}/q/items/i"
    assert about("create", {}, {"name": 5}) == ""
    assert face.method("get").about is None
