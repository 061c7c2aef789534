"""The official Python client library for Cloud Run, over REST and over gRPC, against a real server.

One body of tests for both: what a program sees does not depend on the way that carries it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as refusals
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import RefreshError
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.oauth2.credentials import Credentials
from google.protobuf import duration_pb2

from tests.wire.running import Running, serving

PARENT = "projects/local/locations/us-central1"
DONE = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("library") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBRUNNER_HOME", str(home))
        with serving(home, grpc=True) as running:
            yield running


class Clients:
    """The three clients over one transport; ``token`` is sent where there is one."""

    def __init__(self, server: Running, way: str, token: str | None = None) -> None:
        self._server, self._way, self._token = server, way, token
        self.jobs = self._make(run_v2.JobsClient)
        self.executions = self._make(run_v2.ExecutionsClient)
        self.tasks = self._make(run_v2.TasksClient)

    def _make(self, kind: Any) -> Any:
        if self._way == "rest":
            credentials = Credentials(token=self._token) if self._token else AnonymousCredentials()
            options = {"api_endpoint": self._server.url}
            return kind(transport="rest", credentials=credentials, client_options=options)
        address = f"127.0.0.1:{self._server.grpc_port}"
        if self._token is None:
            channel = grpc.insecure_channel(address)
        else:
            channel = grpc.secure_channel(
                address,
                grpc.composite_channel_credentials(
                    grpc.local_channel_credentials(),
                    grpc.access_token_call_credentials(self._token),
                ),
            )
        return kind(transport=kind.get_transport_class("grpc")(channel=channel))

    def close(self) -> None:
        for client in (self.jobs, self.executions, self.tasks):
            client.transport.close()


@pytest.fixture(params=["rest", "grpc"])
def clients(server: Running, request: pytest.FixtureRequest) -> Iterator[Clients]:
    found = Clients(server, request.param)
    yield found
    found.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Names of jobs that no other test uses."""
    way = request.node.callspec.params["clients"]
    return lambda text: f"{way}-{text}"


def job(script: str, *, tasks: int = 1, retries: int = 0, **more: Any) -> run_v2.Job:
    container = run_v2.Container(image="busybox", command=["sh", "-c"], args=[script])
    template = run_v2.TaskTemplate(
        containers=[container], max_retries=retries, timeout=duration_pb2.Duration(seconds=60)
    )
    return run_v2.Job(
        template=run_v2.ExecutionTemplate(task_count=tasks, template=template), **more
    )


def create(clients: Clients, name: str, what: run_v2.Job) -> run_v2.Job:
    return clients.jobs.create_job(parent=PARENT, job=what, job_id=name).result(timeout=DONE)


def test_a_job_is_made_read_listed_and_removed(
    clients: Clients, name: Callable[[str], str]
) -> None:
    made = create(clients, name("report"), job("true", tasks=3, labels={"team": "data"}))
    assert made.name == f"{PARENT}/jobs/{name('report')}"
    assert made.generation == 1
    assert made.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    assert made.template.task_count == 3
    assert made.template.template.max_retries == 0
    assert made.template.template.timeout.total_seconds() == 60
    assert dict(made.labels) == {"team": "data"}
    assert clients.jobs.get_job(name=made.name) == made
    assert made.name in [found.name for found in clients.jobs.list_jobs(parent=PARENT)]
    gone = clients.jobs.delete_job(name=made.name).result(timeout=DONE)
    assert gone.name == made.name
    assert gone.delete_time is not None
    with pytest.raises(refusals.NotFound) as caught:
        clients.jobs.get_job(name=made.name)
    assert "of kind 'JOB'" in caught.value.message


def test_an_update_replaces_what_is_writable(clients: Clients, name: Callable[[str], str]) -> None:
    made = create(clients, name("changed"), job("true", labels={"a": "1"}))
    made.template.task_count = 5
    made.labels = {"b": "2"}
    changed = clients.jobs.update_job(job=made).result(timeout=DONE)
    assert (changed.generation, changed.template.task_count) == (2, 5)
    assert dict(changed.labels) == {"b": "2"}
    assert changed.etag != made.etag
    with pytest.raises((refusals.Aborted, refusals.Conflict)):
        clients.jobs.update_job(job=made)
    with pytest.raises(refusals.NotFound):
        clients.jobs.update_job(job=job("true", name=f"{PARENT}/jobs/{name('no')}"))
    upsert = job("true", name=f"{PARENT}/jobs/{name('upserted')}")
    request = run_v2.UpdateJobRequest(job=upsert, allow_missing=True)
    assert clients.jobs.update_job(request).result(timeout=DONE).generation == 1


def test_run_ends_when_the_execution_has_ended(
    clients: Clients, name: Callable[[str], str]
) -> None:
    made = create(clients, name("works"), job("exit $((WANTED - $#))", tasks=1))
    overrides = run_v2.RunJobRequest.Overrides(
        container_overrides=[
            run_v2.RunJobRequest.Overrides.ContainerOverride(
                args=["exit $((WANTED - $#))", "sh", "one"],
                env=[run_v2.EnvVar(name="WANTED", value="1")],
            )
        ],
        task_count=3,
        timeout=duration_pb2.Duration(seconds=30),
    )
    operation = clients.jobs.run_job(run_v2.RunJobRequest(name=made.name, overrides=overrides))
    assert operation.metadata.name.startswith(f"{made.name}/executions/{name('works')}-")
    ended = operation.result(timeout=DONE)
    assert (ended.task_count, ended.succeeded_count, ended.failed_count) == (3, 3, 0)
    assert ended.template.timeout.total_seconds() == 30
    states = {one.type_: one.state for one in ended.conditions}
    assert states["Completed"] == run_v2.Condition.State.CONDITION_SUCCEEDED
    after = clients.jobs.get_job(name=made.name)
    assert after.execution_count == 1
    assert ended.name.endswith(f"/{after.latest_created_execution.name}")
    assert after.template.task_count == 1


def test_a_failed_execution_is_the_error_of_its_operation(
    clients: Clients, name: Callable[[str], str]
) -> None:
    made = create(clients, name("fails"), job("exit 3"))
    operation = clients.jobs.run_job(name=made.name)
    with pytest.raises(refusals.GoogleAPICallError) as caught:
        operation.result(timeout=DONE)
    assert "exit" in str(caught.value)
    execution = clients.executions.get_execution(name=operation.metadata.name)
    assert execution.failed_count == 1
    (task,) = clients.tasks.list_tasks(parent=execution.name)
    assert task.last_attempt_result.exit_code == 3
    assert task.index == 0
    assert clients.tasks.get_task(name=task.name) == task


def test_a_cancelled_execution_ends_its_operation_without_an_error(
    clients: Clients, name: Callable[[str], str]
) -> None:
    made = create(clients, name("long"), job("sleep 300"))
    operation = clients.jobs.run_job(name=made.name)
    execution = operation.metadata.name
    cancelled = clients.executions.cancel_execution(name=execution).result(timeout=DONE)
    assert cancelled.name == execution
    assert cancelled.cancelled_count == 1
    assert operation.result(timeout=DONE).cancelled_count == 1
    with pytest.raises((refusals.FailedPrecondition, refusals.BadRequest)):
        clients.executions.cancel_execution(name=execution)
    clients.executions.delete_execution(name=execution).result(timeout=DONE)
    with pytest.raises(refusals.NotFound):
        clients.executions.get_execution(name=execution)


def test_validate_only_changes_nothing(clients: Clients, name: Callable[[str], str]) -> None:
    request = run_v2.CreateJobRequest(
        parent=PARENT, job=job("true"), job_id=name("tried"), validate_only=True
    )
    operation = clients.jobs.create_job(request)
    assert operation.done()
    with pytest.raises(refusals.NotFound):
        clients.jobs.get_job(name=f"{PARENT}/jobs/{name('tried')}")
    made = create(clients, name("kept"), job("true"))
    clients.jobs.delete_job(run_v2.DeleteJobRequest(name=made.name, validate_only=True))
    clients.jobs.run_job(run_v2.RunJobRequest(name=made.name, validate_only=True))
    assert clients.jobs.get_job(name=made.name).execution_count == 0


def test_lists_come_page_by_page(clients: Clients, name: Callable[[str], str]) -> None:
    where = f"projects/{name('pages')}/locations/us-central1"
    wanted = [name(f"page{number}") for number in range(5)]
    for one in wanted:
        clients.jobs.create_job(parent=where, job=job("true"), job_id=one)
    request = run_v2.ListJobsRequest(parent=where, page_size=2)
    pages = [[job.name for job in page.jobs] for page in clients.jobs.list_jobs(request).pages]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [text.rsplit("/", 1)[1] for page in pages for text in page] == wanted
    ran = clients.jobs.run_job(name=f"{where}/jobs/{wanted[0]}").result(timeout=DONE)
    assert [e.name for e in clients.executions.list_executions(parent=f"{where}/jobs/-")] == [
        ran.name
    ]
    assert len(list(clients.tasks.list_tasks(parent=f"{where}/jobs/-/executions/-"))) == 1


def test_operations_are_kept_listed_and_forgotten(
    clients: Clients, name: Callable[[str], str]
) -> None:
    where = f"projects/{name('operations')}/locations/us-central1"
    clients.jobs.create_job(parent=where, job=job("true"), job_id=name("any")).result(timeout=DONE)
    listed = clients.jobs.list_operations(operations_pb2.ListOperationsRequest(name=where))
    (operation,) = listed.operations
    assert operation.done
    clients.jobs.delete_operation(operations_pb2.DeleteOperationRequest(name=operation.name))
    with pytest.raises(refusals.NotFound):
        clients.jobs.get_operation(operations_pb2.GetOperationRequest(name=operation.name))


def test_policies_are_kept_with_a_version(clients: Clients, name: Callable[[str], str]) -> None:
    resource = create(clients, name("shared"), job("true")).name
    empty = clients.jobs.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=resource))
    binding = policy_pb2.Binding(role="roles/run.invoker", members=["user:ann@example.com"])
    policy = policy_pb2.Policy(bindings=[binding], etag=empty.etag)
    request = iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=policy)
    stored = clients.jobs.set_iam_policy(request)
    assert list(stored.bindings) == [binding]
    with pytest.raises((refusals.Aborted, refusals.Conflict)):
        clients.jobs.set_iam_policy(request)
    held = clients.jobs.test_iam_permissions(
        iam_policy_pb2.TestIamPermissionsRequest(resource=resource, permissions=["run.jobs.run"])
    )
    assert list(held.permissions) == ["run.jobs.run"]


def test_what_is_wrong_is_said_with_its_field(clients: Clients, name: Callable[[str], str]) -> None:
    with pytest.raises((refusals.InvalidArgument, refusals.BadRequest)) as caught:
        create(clients, name("wrong"), job("true", tasks=10001))
    assert "10001" in caught.value.message
    assert "job.template.taskCount" in str(caught.value.details[0])
    create(clients, name("twice"), job("true"))
    with pytest.raises((refusals.AlreadyExists, refusals.Conflict)):
        create(clients, name("twice"), job("true"))
    with pytest.raises(refusals.NotFound):
        clients.jobs.run_job(name=f"{PARENT}/jobs/{name('absent')}")


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_a_token_is_checked_whichever_way_it_comes(server: Running, way: str) -> None:
    with_key = Clients(server, way, server.key)
    assert list(with_key.jobs.list_jobs(parent="projects/none/locations/us-central1")) == []
    with_key.close()
    wrong = Clients(server, way, "wrong")
    # Over REST the library wants a fresh token at once, before it gives up.
    with pytest.raises((refusals.Unauthenticated, RefreshError)):
        wrong.jobs.list_jobs(parent=PARENT)
    wrong.close()
