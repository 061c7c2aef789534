"""An operation outlives the server that gave it out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2
from google.longrunning import operations_pb2

from tests.support.serving import announced, serving
from tests.support.waiting import until

PARENT = "projects/local/locations/us-central1"


def client(kind: Any, pid: int) -> Any:
    entry = announced(pid)
    assert entry is not None
    with warnings.catch_warnings():
        # What the libraries say of their own future is none of ours.
        warnings.simplefilter("ignore")
        return kind(
            transport="rest",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": entry.endpoint},
        )


def test_the_operation_of_a_run_is_asked_for_after_the_server_was_killed(home: Path) -> None:
    marks = home / "marks"
    command = f"echo $$ >> {marks}; while [ ! -e {home}/go ]; do sleep 0.05; done"
    container = run_v2.Container(command=["sh", "-c", command])
    task = run_v2.TaskTemplate(containers=[container], max_retries=0)
    job = run_v2.Job(template=run_v2.ExecutionTemplate(template=task))
    with serving("--backend", "process") as server:
        jobs = client(run_v2.JobsClient, server.pid)
        name = jobs.create_job(parent=PARENT, job=job, job_id="long").result(60).name
        operation = jobs.run_job(name=name).operation.name
        until(marks.exists)
        server.kill()
        server.wait()
    request = operations_pb2.GetOperationRequest(name=operation)
    with serving("--backend", "process") as server:
        jobs = client(run_v2.JobsClient, server.pid)
        assert not jobs.get_operation(request).done
        (home / "go").touch()
        until(lambda: jobs.get_operation(request).done)
        execution = run_v2.Execution()
        done = jobs.get_operation(request)
        assert done.response.Unpack(run_v2.Execution.pb(execution))
        assert execution.succeeded_count == 1
        wait = operations_pb2.WaitOperationRequest(name=operation)
        assert jobs.wait_operation(wait).done
    assert len(marks.read_text().split()) == 1
