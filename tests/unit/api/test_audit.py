"""The audit log names what was created, changed or run, over every face; and who may override."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

from jobrunner.api import rpc
from jobrunner.api.http.application import Application, House
from jobrunner.api.http.guard import own_names
from jobrunner.api.tables import all_methods
from jobrunner.calls import Principal, Role
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, Overrides, TaskTemplate
from jobrunner.service.calls import OPERATIONS
from jobrunner.service.codec import encode_call
from tests.support.control import Control

V1 = "/apis/run.googleapis.com/v1/namespaces/local/jobs"
V2 = "/v2/projects/local/locations/us-central1/jobs"
JOB = {"template": {"template": {"containers": [{"image": "busybox", "command": ["true"]}]}}}
ROLES = {"v": Role.VIEWER, "i": Role.INVOKER, "a": Role.ADMIN}


class Faces:
    """All methods of a server behind its HTTP face; ``told`` is its audit log without times."""

    def __init__(self, control: Control) -> None:
        self.told: list[tuple[str, str, str, int, str]] = []
        house = House(
            own_names("127.0.0.1"),
            lambda token, _: Principal(token, ROLES[token]) if token in ROLES else None,
            loopback=True,
            clock=control.clock,
            audit=self._audit,
        )
        methods = [*all_methods(control.parts), *rpc.methods(control.parts)]
        self._app = Application(methods, house)

    def _audit(self, at: float, *told: Any) -> None:
        self.told.append(told)  # type: ignore[arg-type]

    async def ask(self, verb: str, target: str, body: Any = None, token: str = "a") -> Any:
        said: dict[str, Any] = {}
        sent = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        path, _, query = target.partition("?")

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": sent}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.update(message)

        headers = {
            "host": "localhost",
            "authorization": f"Bearer {token}",
            "content-length": str(len(sent)),
        }
        await self._app(
            {
                "type": "http", "http_version": "1.1", "method": verb, "scheme": "http",
                "path": path, "raw_path": path.encode(), "query_string": query.encode(),
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            },
            receive,
            send,
        )  # fmt: skip
        return json.loads(said["body"])

    async def call(self, name: str, *args: Any, token: str = "a", **kwargs: Any) -> Any:
        operation = OPERATIONS[name]
        body = encode_call(operation.does, 1, args, kwargs)
        return await self.ask("POST", f"/jobrunner/v1/call/{name}", body, token)


@pytest.fixture
def faces() -> Iterator[Faces]:
    control = Control()
    yield Faces(control)
    control.close()


async def test_what_is_made_over_v2_is_named(faces: Faces) -> None:
    await faces.ask("POST", f"{V2}?jobId=nightly", JOB)
    await faces.ask("POST", f"{V2}?jobId=nightly", JOB)
    await faces.ask("POST", f"{V2}?jobId=draft&validateOnly=true", JOB)
    await faces.ask("POST", V2, JOB)
    assert faces.told == [
        ("a", "run.jobs.create", f"{V2}/nightly", 200, ""),
        ("a", "run.jobs.create", f"{V2}/nightly", 409, ""),
        ("a", "run.jobs.create", f"{V2}/draft", 200, "validateOnly: nothing was changed"),
        ("a", "run.jobs.create", V2, 400, ""),
    ]


async def test_what_is_made_over_v1_is_named(faces: Faces) -> None:
    spec = {"template": {"spec": JOB["template"]}}
    job = {"kind": "Job", "metadata": {"name": "nightly"}, "spec": spec}
    await faces.ask("POST", V1, job)
    await faces.ask("POST", V1, {"metadata": {"name": "\x1b[2J/../x"}})
    await faces.ask("POST", V1, {"metadata": {"name": 5}})
    resources = [told[2] for told in faces.told]
    assert resources == [f"{V1}/nightly", f"{V1}/%1B%5B2J%2F..%2Fx", V1]


async def test_a_run_names_the_job_and_the_execution_that_it_opened(faces: Faces) -> None:
    await faces.ask("POST", f"{V2}?jobId=nightly", JOB)
    over_v2 = await faces.ask("POST", f"{V2}/nightly:run", {})
    over_v1 = await faces.ask("POST", f"{V1}/nightly:run", {})
    await faces.ask("POST", f"{V2}/nightly:run", {"validateOnly": True})
    assert faces.told[1:] == [
        ("a", "run.jobs.run", f"{V2}/nightly:run", 200,
         over_v2["metadata"]["name"].rpartition("/")[2]),
        ("a", "run.jobs.run", f"{V1}/nightly:run", 200, over_v1["metadata"]["name"]),
        ("a", "run.jobs.run", f"{V2}/nightly:run", 200, "validateOnly: nothing was changed"),
    ]  # fmt: skip


async def test_what_the_command_line_does_is_named(faces: Faces) -> None:
    container = Container(command=("true",))
    spec = JobSpec(template=ExecutionTemplate(template=TaskTemplate(containers=(container,))))
    scope = ("local", "us-central1")
    await faces.call("create_job", scope, "nightly", spec)
    opened = (await faces.call("run", scope, "nightly", "key-1"))["name"]
    await faces.call("cancel", scope, opened)
    await faces.ask("POST", "/jobrunner/v1/call/cancel", {"arguments": 1})
    place = "/projects/local/locations/us-central1"
    assert faces.told == [
        ("a", "jobrunner.create_job", f"{place}/jobs/nightly", 200, ""),
        ("a", "jobrunner.run", f"{place}/jobs/nightly", 200, opened),
        ("a", "jobrunner.cancel", f"{place}/executions/{opened}", 200, ""),
        ("a", "jobrunner.cancel", "/jobrunner/v1/call/cancel", 400, ""),
    ]


async def test_an_invoker_runs_jobs_as_they_are_and_only_an_admin_overrides(faces: Faces) -> None:
    await faces.ask("POST", f"{V2}?jobId=nightly", JOB)
    args = {"overrides": {"containerOverrides": [{"args": ["-c", "evil"]}]}}
    scope = ("local", "us-central1")
    for path in (f"{V2}/nightly:run", f"{V1}/nightly:run"):
        refused = await faces.ask("POST", path, args, "i")
        assert refused["error"]["status"] == "PERMISSION_DENIED"
        assert "Permission 'run.jobs.runWithOverrides' denied" in refused["error"]["message"]
        assert "metadata" in await faces.ask("POST", path, args)
        assert "metadata" in await faces.ask("POST", path, {}, "i")
        assert "metadata" in await faces.ask("POST", path, {"overrides": {}}, "i")
    for more in ({"overrides": Overrides(task_count=2)}, {"backend": "process"}):
        refused = await faces.call("run", scope, "nightly", "key-2", token="i", **more)
        assert refused["error"]["status"] == "PERMISSION_DENIED"
    assert "name" in await faces.call("run", scope, "nightly", "key-3", token="i")
