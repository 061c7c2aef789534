"""The official client over gRPC against methods that only say what they were asked."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.api_core import exceptions as refusals
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2, field_mask_pb2

from jobrunner.api.grpc import Tls, start
from jobrunner.calls import Answer, Call, Method, Principal, Role, Rpc
from jobrunner.errors import InvalidSpec, NotFound, Refused, Violation
from tests.support.waiting import PATIENCE

L = "/v2/projects/{project}/locations/{location}"
PARENT = "projects/p/locations/us-central1"
NAME = f"{PARENT}/jobs/report"
PLACE = {"project": "p", "location": "us-central1"}


class Recorder:
    """One method that remembers its calls and gives ``answer``."""

    def __init__(self, answer: Any = None) -> None:
        self.calls: list[Call] = []
        self.answer = answer

    async def __call__(self, call: Call) -> Answer:
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Answer(self.answer)

    @property
    def call(self) -> Call:
        (call,) = self.calls
        return call


def anybody(token: str | None, loopback: bool) -> Principal:
    return Principal(f"token {token}" if token else "owner")


def method(grpc_name: str, path: str, handler: Any, *, changes: bool = False) -> Method:
    return Method("run.x.y", "POST", path, handler, Role.VIEWER, changes=changes, grpc=grpc_name)


@asynccontextmanager
async def channel(*methods: Method, **options: Any) -> AsyncIterator[grpc.aio.Channel]:
    keywords = {"authenticate": anybody, **options}
    server = await start(methods, host="127.0.0.1", port=0, **keywords)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as there:
            yield there
    finally:
        await server.stop(0)


def jobs_client(there: grpc.aio.Channel) -> run_v2.JobsAsyncClient:
    transport = run_v2.JobsAsyncClient.get_transport_class("grpc_asyncio")
    return run_v2.JobsAsyncClient(transport=transport(channel=there))


async def test_the_body_field_is_the_body_and_the_rest_are_parameters() -> None:
    create = Recorder({"name": f"{PARENT}/operations/1"})
    async with channel(method("google.cloud.run.v2.Jobs/CreateJob", f"{L}/jobs", create)) as there:
        template = run_v2.TaskTemplate(
            containers=[run_v2.Container(image="busybox", args=["-c", "echo"])],
            max_retries=0,
            timeout=duration_pb2.Duration(seconds=600),
        )
        job = run_v2.Job(
            template=run_v2.ExecutionTemplate(task_count=3, template=template),
            labels={"team_a": "x"},
            launch_stage="BETA",
        )
        await jobs_client(there).create_job(
            run_v2.CreateJobRequest(parent=PARENT, job=job, job_id="report", validate_only=True)
        )
    assert create.call.params == {**PLACE, "jobId": "report", "validateOnly": "true"}
    assert create.call.body == {
        "labels": {"team_a": "x"},
        "launchStage": "BETA",
        "template": {
            "taskCount": 3,
            "template": {
                "containers": [{"image": "busybox", "args": ["-c", "echo"]}],
                "maxRetries": 0,
                "timeout": "600s",
            },
        },
    }


async def test_a_request_whose_body_is_everything_keeps_only_the_name_out_of_it() -> None:
    run = Recorder({"name": f"{PARENT}/operations/1"})
    path = f"{L}/jobs/{{job}}:run"
    async with channel(method("google.cloud.run.v2.Jobs/RunJob", path, run, changes=True)) as there:
        override = run_v2.RunJobRequest.Overrides.ContainerOverride(
            args=["a"], env=[run_v2.EnvVar(name="A", value="1")]
        )
        await jobs_client(there).run_job(
            run_v2.RunJobRequest(
                name=NAME,
                etag='"7"',
                overrides=run_v2.RunJobRequest.Overrides(
                    container_overrides=[override],
                    task_count=2,
                    timeout=duration_pb2.Duration(seconds=60),
                ),
            ),
            metadata=[("idempotency-key", "once")],
        )
    assert run.call.params == {**PLACE, "job": "report"}
    assert run.call.idempotency_key == "once"
    assert run.call.body == {
        "etag": '"7"',
        "overrides": {
            "containerOverrides": [{"args": ["a"], "env": [{"name": "A", "value": "1"}]}],
            "taskCount": 2,
            "timeout": "60s",
        },
    }


async def test_an_operation_brings_the_resource_itself() -> None:
    execution = {
        "@type": "type.googleapis.com/google.cloud.run.v2.Execution",
        "name": f"{NAME}/executions/report-abcde",
        "taskCount": 2,
        "completionTime": "2026-01-02T03:04:05.678901Z",
        "conditions": [{"type": "Completed", "state": "CONDITION_SUCCEEDED"}],
    }
    done = {
        "name": f"{PARENT}/operations/1",
        "metadata": execution,
        "done": True,
        "response": execution,
    }
    run = Recorder(done)
    path = f"{L}/jobs/{{job}}:run"
    async with channel(method("google.cloud.run.v2.Jobs/RunJob", path, run)) as there:
        operation = await jobs_client(there).run_job(name=NAME)
        result = await operation.result()
    assert result.name == execution["name"]
    assert operation.metadata.task_count == 2
    assert result.conditions[0].state == run_v2.Condition.State.CONDITION_SUCCEEDED


async def test_the_name_inside_a_job_says_which_job_is_updated() -> None:
    update = Recorder({"name": f"{PARENT}/operations/1"})
    path = f"{L}/jobs/{{job}}"
    async with channel(method("google.cloud.run.v2.Jobs/UpdateJob", path, update)) as there:
        await jobs_client(there).update_job(
            run_v2.UpdateJobRequest(job=run_v2.Job(name=NAME, etag='"1"'), allow_missing=True)
        )
    assert update.call.params == {**PLACE, "job": "report", "allowMissing": "true"}
    assert update.call.body == {"name": NAME, "etag": '"1"'}


async def test_lists_are_asked_page_by_page() -> None:
    pages = Recorder({"jobs": [{"name": NAME, "labels": {"a": "b"}}]})
    async with channel(method("google.cloud.run.v2.Jobs/ListJobs", f"{L}/jobs", pages)) as there:
        found = await jobs_client(there).list_jobs(
            run_v2.ListJobsRequest(parent=PARENT, page_size=7)
        )
        assert [job.name async for job in found] == [NAME]
    assert pages.call.params == {**PLACE, "pageSize": "7"}
    assert pages.call.body is None


async def test_policies_travel_with_their_masks_and_versions() -> None:
    policy = {"version": 1, "etag": "BwY=", "bindings": [{"role": "roles/run.invoker"}]}
    get, put = Recorder(policy), Recorder(policy)
    async with channel(
        method("google.cloud.run.v2.Jobs/GetIamPolicy", f"{L}/jobs/{{job}}:getIamPolicy", get),
        method("google.cloud.run.v2.Jobs/SetIamPolicy", f"{L}/jobs/{{job}}:setIamPolicy", put),
    ) as there:
        client = jobs_client(there)
        request = iam_policy_pb2.GetIamPolicyRequest(resource=NAME)
        request.options.requested_policy_version = 3
        answer = await client.get_iam_policy(request)
        await client.set_iam_policy(
            iam_policy_pb2.SetIamPolicyRequest(
                resource=NAME,
                policy=policy_pb2.Policy(etag=b"\x07\x06"),
                update_mask=field_mask_pb2.FieldMask(paths=["bindings", "audit_configs"]),
            )
        )
    assert answer.etag == b"\x07\x06"
    assert get.call.params == {**PLACE, "job": "report", "options.requestedPolicyVersion": "3"}
    assert put.call.body == {"policy": {"etag": "BwY="}, "updateMask": "bindings,auditConfigs"}


async def test_operations_are_asked_waited_for_and_forgotten() -> None:
    name = f"{PARENT}/operations/1"
    get, wait, forget = Recorder({"name": name}), Recorder({"name": name}), Recorder({})
    pages = Recorder({"operations": [{"name": name}], "nextPageToken": "n"})
    service, path = "google.longrunning.Operations", f"{L}/operations/{{operation}}"
    async with channel(
        method(f"{service}/GetOperation", path, get),
        method(f"{service}/WaitOperation", f"{path}:wait", wait),
        method(f"{service}/DeleteOperation", path, forget),
        method(f"{service}/ListOperations", f"{L}/operations", pages),
    ) as there:
        client = jobs_client(there)
        assert (await client.get_operation(operations_pb2.GetOperationRequest(name=name))).name
        request = operations_pb2.WaitOperationRequest(name=name)
        request.timeout.FromSeconds(3)
        await client.wait_operation(request)
        await client.delete_operation(operations_pb2.DeleteOperationRequest(name=name))
        listed = await client.list_operations(
            operations_pb2.ListOperationsRequest(name=PARENT, page_size=1)
        )
    assert listed.next_page_token == "n"
    assert get.call.params == {**PLACE, "operation": "1"}
    assert wait.call.body == {"timeout": "3s"}
    assert forget.call.params == {**PLACE, "operation": "1"}
    assert pages.call.params == {**PLACE, "pageSize": "1"}


GET = "google.cloud.run.v2.Jobs/GetJob", f"{L}/jobs/{{job}}"


async def refusal(error: Exception, **options: Any) -> Exception:
    """What the client raises when the method raises ``error``."""
    async with channel(method(*GET, Recorder(error)), **options) as there:
        with pytest.raises(Exception) as caught:
            await jobs_client(there).get_job(name=NAME)
    return caught.value


async def test_each_error_has_the_code_and_the_message_of_the_table() -> None:
    found = await refusal(NotFound("Job 'report' is not here."))
    assert isinstance(found, refusals.NotFound)
    assert found.message == "Job 'report' is not here."
    assert isinstance(await refusal(Refused("no", hint="Try.")), refusals.FailedPrecondition)


async def test_fields_that_break_a_rule_come_as_details() -> None:
    found = await refusal(InvalidSpec([Violation("job.template.taskCount", "0 is too small")]))
    assert isinstance(found, refusals.InvalidArgument)
    (detail,) = found.details
    assert detail.field_violations[0].field == "job.template.taskCount"
    assert detail.field_violations[0].description == "0 is too small"


async def test_so_many_violations_that_no_client_would_take_them_are_cut() -> None:
    many = [Violation(f"env[{place}].name", "é is not a name" * 5) for place in range(1000)]
    found = await refusal(InvalidSpec(many))
    assert isinstance(found, refusals.InvalidArgument)
    assert "env[0].name" in found.message


async def test_an_error_that_nobody_foresaw_tells_a_number_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = await refusal(ZeroDivisionError("secret"))
    assert isinstance(found, refusals.InternalServerError)
    number = found.message.split()[-1]
    assert "secret" not in found.message
    assert f"number {number}" in caplog.text


async def test_an_answer_that_its_message_has_no_place_for_is_a_bug() -> None:
    async with channel(method(*GET, Recorder({"name": NAME, "jobrunner": 1}))) as there:
        with pytest.raises(refusals.InternalServerError):
            await jobs_client(there).get_job(name=NAME)


@pytest.mark.parametrize("name", ["report", f"{PARENT}/jobs/", f"{PARENT}/jobs/a/b", "a/b/c/d/e/f"])
async def test_a_name_of_another_form_is_refused_with_the_right_form(name: str) -> None:
    get = Recorder({})
    async with channel(method(*GET, get)) as there:
        with pytest.raises(refusals.InvalidArgument) as caught:
            await jobs_client(there).get_job(name=name)
    assert "projects/PROJECT/locations/LOCATION/jobs/JOB" in caught.value.message
    assert not get.calls


async def test_the_bearer_token_says_who_calls() -> None:
    get = Recorder({"name": NAME})
    async with channel(method(*GET, get)) as there:
        token = [("authorization", "Bearer abc")]
        await jobs_client(there).get_job(name=NAME, metadata=token)
    assert get.call.principal == Principal("token abc")


async def test_who_may_not_call_does_not_reach_the_method() -> None:
    get = Recorder({"name": NAME})

    async with channel(method(*GET, get), authenticate=lambda token, loopback: None) as there:
        with pytest.raises(refusals.Unauthenticated):
            await jobs_client(there).get_job(name=NAME)

    def viewer(token: str | None, loopback: bool) -> Principal:
        return Principal("eve", Role.VIEWER)

    run = "google.cloud.run.v2.Jobs/RunJob", f"{L}/jobs/{{job}}:run"
    admin = Method("run.jobs.run", "POST", run[1], get, Role.INVOKER, changes=True, grpc=run[0])
    async with channel(admin, authenticate=viewer) as there:
        with pytest.raises(refusals.PermissionDenied, match=r"run\.jobs\.run"):
            await jobs_client(there).run_job(name=NAME)
    assert not get.calls


async def test_what_has_begun_to_change_something_ends_although_the_client_went_away() -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> Answer:
        begun.set()
        await go.wait()
        ended.set()
        return Answer({})

    async with channel(method(*GET, slow, changes=True)) as there:
        call = asyncio.ensure_future(jobs_client(there).get_job(name=NAME))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # The server hears of it before it answers what is asked after it on the same connection.
        await there.unary_unary("/grpc.health.v1.Health/Check")(b"")
        go.set()
        await asyncio.wait_for(ended.wait(), PATIENCE)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return Tls(certificate.read_bytes(), key.read_bytes())


async def test_with_a_certificate_the_token_travels_encrypted(tls: Tls) -> None:
    get = Recorder({"name": NAME})
    server = await start(
        [method(*GET, get)], host="127.0.0.1", port=0, authenticate=anybody, tls=tls
    )
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(tls.certificate),
        grpc.access_token_call_credentials("abc"),
    )
    async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as there:
        await jobs_client(there).get_job(name=NAME)
    await server.stop(0)
    assert get.call.principal.name == "token abc"


async def test_a_message_over_the_limit_is_refused_before_it_is_read() -> None:
    create = Recorder({"name": f"{PARENT}/operations/1"})
    async with channel(method("google.cloud.run.v2.Jobs/CreateJob", f"{L}/jobs", create)) as there:
        job = run_v2.Job(annotations={"big": "x" * (11 * 1024 * 1024)})
        with pytest.raises(refusals.ResourceExhausted):
            await jobs_client(there).create_job(parent=PARENT, job=job, job_id="report")
    assert not create.calls


async def test_a_port_that_is_taken_is_refused() -> None:
    server = await start([], host="127.0.0.1", port=0, authenticate=anybody)
    try:
        with pytest.raises(Refused, match="Address already in use"):
            await start([], host="127.0.0.1", port=server.port, authenticate=anybody)
    finally:
        await server.stop(0)


async def test_a_health_check_needs_no_token() -> None:
    async with channel() as there:
        check = there.unary_unary("/grpc.health.v1.Health/Check")
        assert await check(b"") == b"\x08\x01"


def forget(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Imported anew in this test, if at all."""
    for module in modules:
        monkeypatch.delitem(sys.modules, f"jobrunner.api.grpc.{module}", raising=False)


async def test_without_grpc_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "server")
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(Refused) as caught:
        await start([], host="127.0.0.1", port=0, authenticate=anybody)
    assert caught.value.hint == "Install them: pip install 'jobrunner[grpc]'"


async def test_without_any_messages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "rpcs", "shared")
    monkeypatch.setitem(sys.modules, "google.cloud.run_v2", None)
    monkeypatch.setitem(sys.modules, "google.longrunning", None)
    monkeypatch.setitem(sys.modules, "google.cloud.location", None)
    with pytest.raises(Refused) as caught:
        await start([], host="127.0.0.1", port=0, authenticate=anybody)
    assert caught.value.hint == "Install them: pip install 'jobrunner[grpc]'"


async def test_an_api_whose_messages_are_missing_is_left_out_and_the_rest_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forget(monkeypatch, "rpcs")
    monkeypatch.setitem(sys.modules, "google.cloud.run_v2", None)
    name = f"{PARENT}/operations/1"
    path = f"{L}/operations/{{operation}}"
    operation = method("google.longrunning.Operations/GetOperation", path, Recorder({"name": name}))
    async with channel(method(*GET, Recorder({})), operation) as there:
        client = jobs_client(there)
        assert (await client.get_operation(operations_pb2.GetOperationRequest(name=name))).name
        with pytest.raises(refusals.MethodNotImplemented):
            await client.get_job(name=NAME)
    assert "google.cloud.run_v2 is not installed (pip install 'jobrunner[grpc]')" in caplog.text
    assert "Not there over gRPC, only over HTTP: google.cloud.run.v2.Jobs." in caplog.text


EXTRA = {
    "x.v1.Things/Get": Rpc(operations_pb2.GetOperationRequest, operations_pb2.Operation, "name"),
    "google.cloud.run.v2.Jobs/GetJob": Rpc(
        operations_pb2.GetOperationRequest, operations_pb2.Operation, "name"
    ),
}
"""What a plug-in would bring: one service of its own, and one that is taken."""


async def test_a_table_of_a_plug_in_is_served_beside_ours(caplog: pytest.LogCaptureFixture) -> None:
    get, job = Recorder({"name": "1"}), Recorder({"name": NAME})
    thing = method("x.v1.Things/Get", "/v1beta3/projects/{project}/things/{thing}:show", get)
    tables = [f"{__name__}:EXTRA", f"{__name__}:NOTHING", "no.such.module:RPCS"]
    async with channel(thing, method(*GET, job), tables=tables) as there:
        ask = there.unary_unary("/x.v1.Things/Get")
        request = operations_pb2.GetOperationRequest(name="projects/p/things/t")
        answer = await ask(request.SerializeToString())
        assert (await jobs_client(there).get_job(name=NAME)).name == NAME
    assert operations_pb2.Operation.FromString(answer).name == "1"
    assert get.call.params == {"project": "p", "thing": "t"}
    assert "GetJob stands in another table already" in caplog.text
    assert f"{__name__}:NOTHING cannot be loaded" in caplog.text
    assert "no.such.module:RPCS cannot be loaded" in caplog.text


async def test_what_changes_something_is_told_to_the_audit_log() -> None:
    told: list[tuple[str, str, str, int]] = []

    def audit(
        at: float, principal: str, method: str, resource: str, code: int, detail: str = ""
    ) -> None:
        assert at > 1e9
        told.append((principal, method, resource, code))

    run = Recorder({"name": f"{PARENT}/operations/1"})
    bad = Recorder(NotFound("no such job"))
    path = f"{L}/jobs/{{job}}:run"
    for handler in (run, bad):
        changing = method("google.cloud.run.v2.Jobs/RunJob", path, handler, changes=True)
        async with channel(changing, audit=audit) as there:
            with contextlib.suppress(refusals.NotFound):
                await jobs_client(there).run_job(name=NAME)
    async with channel(method(*GET, Recorder({})), audit=audit) as there:
        await jobs_client(there).get_job(name=NAME)
    resource = "/v2/projects/p/locations/us-central1/jobs/report:run"
    assert told == [("owner", "run.x.y", resource, 200), ("owner", "run.x.y", resource, 404)]


async def test_strangers_and_rubbish_are_refused_without_a_word_in_the_records(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[object] = []

    def known(token: str | None, loopback: bool) -> Principal | None:
        return Principal("owner") if token == "right" else None

    run = Recorder({"name": f"{PARENT}/operations/1"})
    changing = method("google.cloud.run.v2.Jobs/RunJob", f"{L}/jobs/{{job}}:run", run, changes=True)
    async with channel(
        changing, audit=lambda *what: told.append(what), authenticate=known
    ) as there:
        ask = there.unary_unary("/google.cloud.run.v2.Jobs/RunJob")
        with pytest.raises(grpc.aio.AioRpcError) as stranger:
            await ask(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as rubbish:
            await ask(b"\xff\xff", metadata=(("authorization", "Bearer right"),))
    assert stranger.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert rubbish.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert rubbish.value.details() == "the message is no RunJobRequest"
    assert len(told) == 1
    assert not run.calls
    assert not caplog.records
