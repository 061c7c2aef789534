"""Values that a store takes, and a process of its own that does something to one."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from jobrunner.core.records import Attempt, Execution, Job, Lease, Operation, Token
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.core.states import AttemptState, ExecutionState

NOW = 1_750_000_000.0
TTL = 15.0
ROOT = Path(__file__).parents[2]

TEMPLATE = ExecutionTemplate(
    template=TaskTemplate(containers=(Container(command=("true",)),), max_retries=2, timeout=60.0),
    annotations={"jobrunner.dev/fail-fast": "true"},
)


def a_job(name: str = "job", **fields: Any) -> Job:
    values: dict[str, Any] = {
        "uid": f"uid-of-{name}",
        "project": "local",
        "region": "us-central1",
        "name": name,
        "spec": JobSpec(template=TEMPLATE, labels={"team": "x"}),
        "created_at": NOW,
        "updated_at": NOW,
        "creator": "me",
        "last_modifier": "me",
    }
    return Job(**(values | fields))


def an_execution(
    name: str = "job-1", *, job: str = "job", tasks: int = 3, **fields: Any
) -> Execution:
    values: dict[str, Any] = {
        "uid": f"uid-of-{name}",
        "project": "local",
        "region": "us-central1",
        "name": name,
        "job_uid": f"uid-of-{job}",
        "job_name": job,
        "job_generation": 1,
        "template": TEMPLATE,
        "task_count": tasks,
        "parallelism": 2,
        "backend": "scripted",
        "created_at": NOW,
        "env_task_count": tasks,
        "creator": "me",
    }
    return Execution(**(values | fields))


def an_intent(execution: Execution, index: int, number: int = 0, at: float = NOW) -> Attempt:
    return Attempt(execution.uid, index, number, AttemptState.STARTING, claimed_at=at)


def an_operation(id: str = "op-1", **fields: Any) -> Operation:
    values: dict[str, Any] = {
        "id": id,
        "project": "local",
        "region": "us-central1",
        "kind": "run",
        "target_kind": "execution",
        "target_uid": "uid-of-job-1",
        "target_name": "job-1",
        "created_at": NOW,
    }
    return Operation(**(values | fields))


def a_token(name: str = "ci", **fields: Any) -> Token:
    values: dict[str, Any] = {
        "id": f"id-of-{name}",
        "name": name,
        "role": 2,
        "hash": f"hash-of-{name}",
        "created_at": NOW,
        "creator": "me",
    }
    return Token(**(values | fields))


def leased(execution: Execution, owner: str = "runner", epoch: int = 1) -> Execution:
    from dataclasses import replace

    return replace(execution, lease=Lease(owner, epoch, NOW + TTL))


def settled(execution: Execution, at: float, state: str = "SUCCEEDED") -> Execution:
    from dataclasses import replace

    return replace(execution, state=ExecutionState(state), completed_at=at)


def start_python(code: str, *words: str) -> "subprocess.Popen[str]":
    """Runs ``code`` in a process of its own; talk to it by lines."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: "subprocess.Popen[str]") -> str:
    """The next line that the process prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the process ended with {process.wait()} and said nothing"
    return line.strip()


def tell(process: "subprocess.Popen[str]", line: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
