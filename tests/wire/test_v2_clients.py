"""The official client library for Cloud Run against a real server, over REST and over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api import launch_stage_pb2
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import RefreshError
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.oauth2.credentials import Credentials
from google.protobuf import duration_pb2

from tests.support.waiting import PATIENCE, until
from tests.wire.running import Running, serving

PARENT = "projects/local/locations/us-central1"


class Clients:
    """The three clients over one transport; ``token`` is sent where there is one."""

    def __init__(self, server: Running, transport: str, token: str | None = None) -> None:
        self._server, self.transport, self._token = server, transport, token
        self.jobs = self._make(run_v2.JobsClient)
        self.executions = self._make(run_v2.ExecutionsClient)
        self.tasks = self._make(run_v2.TasksClient)

    def _make(self, kind: Any) -> Any:
        if self.transport == "rest":
            credentials = Credentials(token=self._token) if self._token else AnonymousCredentials()
            options = {"api_endpoint": self._server.url}
            return kind(transport="rest", credentials=credentials, client_options=options)
        address = f"127.0.0.1:{self._server.grpc_port}"
        if self._token is None:
            channel = grpc.insecure_channel(address)
        else:
            token = grpc.access_token_call_credentials(self._token)
            credentials = grpc.composite_channel_credentials(
                grpc.local_channel_credentials(), token
            )
            channel = grpc.secure_channel(address, credentials)
        return kind(transport=kind.get_transport_class("grpc")(channel=channel))

    def close(self) -> None:
        for client in (self.jobs, self.executions, self.tasks):
            client.transport.close()

    def name(self, job: str) -> str:
        """A job's full name; each transport has jobs of its own on the shared server."""
        return f"{PARENT}/jobs/{job}-{self.transport}"

    def create(self, job: str, command: str, **fields: Any) -> run_v2.Job:
        """A job that runs a command of the shell as a process."""
        request = run_v2.CreateJobRequest(
            parent=PARENT, job_id=f"{job}-{self.transport}", job=a_job(command, **fields)
        )
        return self.jobs.create_job(request).result(PATIENCE)


def a_job(command: str, *, tasks: int = 1, retries: int = 0, **fields: Any) -> run_v2.Job:
    container = run_v2.Container(command=["sh", "-c", command])
    task = run_v2.TaskTemplate(containers=[container], max_retries=retries)
    return run_v2.Job(template=run_v2.ExecutionTemplate(template=task, task_count=tasks), **fields)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("library") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBRUNNER_HOME", str(home))
        with serving(home, grpc=True) as running:
            yield running


@pytest.fixture(params=["rest", "grpc"])
def clients(request: pytest.FixtureRequest, server: Running) -> Iterator[Clients]:
    found = Clients(server, request.param)
    yield found
    found.close()


def state_of(conditions: Any, kind: str) -> str:
    (found,) = [one for one in conditions if one.type_ == kind]
    return str(found.state.name)


def test_a_job_is_created_read_updated_and_deleted(clients: Clients) -> None:
    created = clients.create(
        "life",
        "true",
        labels={"team": "data"},
        client="wire",
        launch_stage="BETA",
        annotations={"note": "x"},
    )
    assert created.name == clients.name("life")
    assert created.generation == created.observed_generation == 1
    assert created.launch_stage == launch_stage_pb2.BETA
    assert created.terminal_condition.state.name == "CONDITION_SUCCEEDED"
    assert created.template.template.max_retries == 0
    assert created.template.template.timeout.total_seconds() == 600
    assert not created.reconciling
    assert created.creator
    job = clients.jobs.get_job(name=created.name)
    assert job == created

    job.template.task_count = 3
    job.template.template.execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
    updated = clients.jobs.update_job(job=job).result(PATIENCE)
    assert (updated.generation, updated.template.task_count) == (2, 3)
    assert updated.create_time == created.create_time
    with pytest.raises(exceptions.Conflict, match="was specified but current version is"):
        clients.jobs.update_job(job=created)

    deleted = clients.jobs.delete_job(name=created.name).result(PATIENCE)
    assert deleted.name == created.name
    assert deleted.delete_time is not None
    with pytest.raises(exceptions.NotFound, match="of kind 'JOB' in region 'us-central1'"):
        clients.jobs.get_job(name=created.name)
    assert clients.name("life") not in [one.name for one in clients.jobs.list_jobs(parent=PARENT)]


def test_lists_come_page_by_page(clients: Clients) -> None:
    names = [clients.create(f"page{number}", "true").name for number in range(3)]
    request = run_v2.ListJobsRequest(parent=PARENT, page_size=2)
    pages = list(clients.jobs.list_jobs(request=request).pages)
    assert all(len(page.jobs) <= 2 for page in pages)
    found = [job.name for page in pages for job in page.jobs]
    assert set(names) <= set(found)
    assert found == sorted(found)
    everywhere = clients.jobs.list_jobs(parent="projects/local/locations/-")
    assert set(names) <= {job.name for job in everywhere}
    empty = clients.jobs.list_jobs(parent="projects/local/locations/us-west1")
    assert list(empty) == []
    # A project of its own: exact pages, and executions and tasks of all of its jobs.
    where = f"projects/pages-{clients.transport}/locations/us-central1"
    wanted = [f"page{number}" for number in range(5)]
    for one in wanted:
        clients.jobs.create_job(parent=where, job=a_job("true"), job_id=one)
    request = run_v2.ListJobsRequest(parent=where, page_size=2)
    exact = [[job.name for job in page.jobs] for page in clients.jobs.list_jobs(request).pages]
    assert [len(page) for page in exact] == [2, 2, 1]
    assert [name.rsplit("/", 1)[1] for page in exact for name in page] == wanted
    ran = clients.jobs.run_job(name=f"{where}/jobs/page0").result(PATIENCE)
    (listed,) = clients.executions.list_executions(parent=f"{where}/jobs/-")
    assert listed.name == ran.name
    assert len(list(clients.tasks.list_tasks(parent=f"{where}/jobs/-/executions/-"))) == 1


def test_a_run_ends_with_its_execution(clients: Clients) -> None:
    job = clients.create("run", 'test "$CLOUD_RUN_TASK_INDEX" -lt 3', tasks=3)
    operation = clients.jobs.run_job(name=job.name)
    name = operation.metadata.name
    assert name.startswith(f"{job.name}/executions/run-")
    execution = operation.result(PATIENCE)
    assert (execution.name, execution.succeeded_count, execution.failed_count) == (name, 3, 0)
    assert state_of(execution.conditions, "Completed") == "CONDITION_SUCCEEDED"
    assert execution.completion_time is not None
    assert execution.job == job.name.rsplit("/", 1)[-1]
    assert clients.executions.get_execution(name=name) == execution
    assert [one.name for one in clients.executions.list_executions(parent=job.name)] == [name]
    tasks = list(clients.tasks.list_tasks(parent=name))
    assert [task.index for task in tasks] == [0, 1, 2]
    assert tasks[2] == clients.tasks.get_task(name=tasks[2].name)
    assert [one.index for one in clients.tasks.list_tasks(parent=f"{job.name}/executions/-")] == [
        0,
        1,
        2,
    ]
    latest = clients.jobs.get_job(name=job.name).latest_created_execution
    assert latest.name == name.rsplit("/", 1)[-1]
    assert latest.completion_status.name == "EXECUTION_SUCCEEDED"


def test_a_run_that_fails_is_an_error_and_says_which_task(clients: Clients) -> None:
    job = clients.create("fail", "exit 3", tasks=2, retries=1)
    operation = clients.jobs.run_job(name=job.name)
    with pytest.raises(exceptions.GoogleAPICallError, match="failed with exit code: 3") as caught:
        operation.result(PATIENCE)
    assert isinstance(caught.value, exceptions.Aborted)
    execution = clients.executions.get_execution(name=operation.metadata.name)
    assert (execution.failed_count, execution.retried_count) == (2, 2)
    tasks = list(clients.tasks.list_tasks(parent=execution.name))
    assert [task.retried for task in tasks] == [1, 1]
    assert [task.last_attempt_result.exit_code for task in tasks] == [3, 3]
    assert {task.last_attempt_result.status.code for task in tasks} == {10}


def test_a_run_that_takes_too_long_is_an_error_of_its_own(clients: Clients) -> None:
    job = clients.create("late", "sleep 60")
    overrides = run_v2.RunJobRequest.Overrides(timeout=duration_pb2.Duration(seconds=1))
    request = run_v2.RunJobRequest(name=job.name, overrides=overrides)
    with pytest.raises(exceptions.GatewayTimeout, match="The configured timeout was reached"):
        clients.jobs.run_job(request).result(PATIENCE)


def test_overrides_change_one_execution(clients: Clients) -> None:
    job = clients.create("over", 'test "$A" = b && test "$1" = x')
    override = run_v2.RunJobRequest.Overrides.ContainerOverride(
        args=["sh", "x"], env=[run_v2.EnvVar(name="A", value="b")]
    )
    overrides = run_v2.RunJobRequest.Overrides(container_overrides=[override], task_count=2)
    request = run_v2.RunJobRequest(name=job.name, overrides=overrides)
    execution = clients.jobs.run_job(request).result(PATIENCE)
    assert execution.succeeded_count == execution.task_count == 2
    assert clients.jobs.get_job(name=job.name).template.task_count == 1


def test_a_cancelled_run_is_no_error(clients: Clients) -> None:
    job = clients.create("cancel", "sleep 60", tasks=2)
    running = clients.jobs.run_job(name=job.name)
    name = running.metadata.name
    until(lambda: clients.executions.get_execution(name=name).running_count)
    cancelled = clients.executions.cancel_execution(name=name).result(PATIENCE)
    assert cancelled.cancelled_count == 2
    assert state_of(cancelled.conditions, "Completed") == "CONDITION_FAILED"
    assert running.result(PATIENCE).cancelled_count == 2
    with pytest.raises(exceptions.BadRequest, match="because it is not running"):
        clients.executions.cancel_execution(name=name)


def test_what_runs_is_stopped_and_removed(clients: Clients) -> None:
    job = clients.create("remove", "sleep 60")
    running = clients.jobs.run_job(name=job.name)
    name = running.metadata.name
    until(lambda: clients.executions.get_execution(name=name).running_count)
    deleted = clients.executions.delete_execution(name=name).result(PATIENCE)
    assert deleted.delete_time is not None
    with pytest.raises(exceptions.NotFound, match="of kind 'EXECUTION'"):
        clients.executions.get_execution(name=name)
    assert running.result(PATIENCE).cancelled_count == 1
    again = clients.jobs.run_job(name=job.name)
    clients.jobs.delete_job(name=job.name).result(PATIENCE)
    assert again.result(PATIENCE).cancelled_count == 1


def test_a_token_starts_one_execution(clients: Clients) -> None:
    job = clients.create("token", "true", run_execution_token="t1")
    assert job.latest_created_execution.completion_status.name == "EXECUTION_SUCCEEDED"
    assert job.latest_created_execution.name == f"token-{clients.transport}-t1"
    assert job.terminal_condition.state.name == "CONDITION_SUCCEEDED"
    again = clients.jobs.update_job(job=job).result(PATIENCE)
    assert again.execution_count == 1
    with pytest.raises(exceptions.Aborted, match="failed with exit code: 3"):
        clients.create("token2", "exit 3", run_execution_token="t1")
    started = clients.create("token3", "sleep 60", start_execution_token="t1")
    assert started.latest_created_execution.completion_status.name == "EXECUTION_RUNNING"
    clients.jobs.delete_job(name=started.name).result(PATIENCE)


def test_what_is_only_validated_is_not_written(clients: Clients) -> None:
    request = run_v2.CreateJobRequest(
        parent=PARENT, job_id=f"dry-{clients.transport}", job=a_job("true"), validate_only=True
    )
    assert clients.jobs.create_job(request).result(PATIENCE).name == clients.name("dry")
    with pytest.raises(exceptions.NotFound):
        clients.jobs.get_job(name=clients.name("dry"))
    bad = run_v2.UpdateJobRequest(job=a_job("true", name=clients.name("dry"), tasks=-1))
    with pytest.raises(exceptions.BadRequest) as caught:
        clients.jobs.update_job(bad)
    assert "Violation in UpdateJobRequest.job.template.taskCount: -1" in caught.value.message
    upsert = run_v2.UpdateJobRequest(
        job=a_job("true", name=clients.name("dry")), allow_missing=True
    )
    assert clients.jobs.update_job(upsert).result(PATIENCE).generation == 1
    with pytest.raises(exceptions.Conflict, match="already exists"):
        clients.create("dry", "true")
    there = clients.name("dry")
    clients.jobs.delete_job(run_v2.DeleteJobRequest(name=there, validate_only=True))
    clients.jobs.run_job(run_v2.RunJobRequest(name=there, validate_only=True))
    assert clients.jobs.get_job(name=there).execution_count == 0


def test_operations_are_read_listed_awaited_and_forgotten(clients: Clients) -> None:
    job = clients.create("waits", "true")
    name = clients.jobs.run_job(name=job.name).operation.name
    wait = operations_pb2.WaitOperationRequest(name=name, timeout=duration_pb2.Duration(seconds=30))
    done = clients.jobs.wait_operation(wait)
    if isinstance(done, bytes):
        # Over gRPC the library does not read the answer.
        done = operations_pb2.Operation.FromString(done)
    assert done.done
    assert done.metadata.type_url == "type.googleapis.com/google.cloud.run.v2.Execution"
    get = operations_pb2.GetOperationRequest(name=name)
    assert clients.jobs.get_operation(get) == done
    listing = operations_pb2.ListOperationsRequest(name=PARENT, filter="done:true")
    found = clients.jobs.list_operations(listing)
    assert name in [one.name for one in found.operations]
    clients.jobs.delete_operation(operations_pb2.DeleteOperationRequest(name=name))
    with pytest.raises(exceptions.NotFound, match="of kind 'OPERATION'"):
        clients.jobs.get_operation(get)


def test_a_name_that_cannot_be_printed_is_refused(clients: Clients) -> None:
    with pytest.raises(exceptions.BadRequest, match="cannot be printed"):
        clients.jobs.get_job(name=f"{PARENT}/jobs/a\x01b")


def test_policies_are_kept_with_a_version(clients: Clients) -> None:
    resource = clients.create("shared", "true").name
    empty = clients.jobs.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=resource))
    binding = policy_pb2.Binding(role="roles/run.invoker", members=["user:ann@example.com"])
    policy = policy_pb2.Policy(bindings=[binding], etag=empty.etag)
    request = iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=policy)
    stored = clients.jobs.set_iam_policy(request)
    assert list(stored.bindings) == [binding]
    with pytest.raises(exceptions.Conflict):
        clients.jobs.set_iam_policy(request)
    held = clients.jobs.test_iam_permissions(
        iam_policy_pb2.TestIamPermissionsRequest(resource=resource, permissions=["run.jobs.run"])
    )
    assert list(held.permissions) == ["run.jobs.run"]


def test_what_is_wrong_is_said_with_its_field(clients: Clients) -> None:
    with pytest.raises(exceptions.BadRequest) as caught:
        clients.create("wrong", "true", tasks=10001)
    assert "10001" in caught.value.message
    assert "job.template.taskCount" in str(caught.value.details[0])
    with pytest.raises(exceptions.NotFound):
        clients.jobs.run_job(name=clients.name("absent"))
    with pytest.raises(exceptions.NotFound):
        clients.jobs.update_job(job=a_job("true", name=clients.name("absent")))


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_a_token_is_checked_whichever_way_it_comes(server: Running, transport: str) -> None:
    with_key = Clients(server, transport, server.key)
    assert list(with_key.jobs.list_jobs(parent="projects/none/locations/us-central1")) == []
    with_key.close()
    wrong = Clients(server, transport, "wrong")
    # Over REST the library wants a fresh token at once, before it gives up.
    with pytest.raises((exceptions.Unauthenticated, RefreshError)):
        wrong.jobs.list_jobs(parent=PARENT)
    wrong.close()
