"""What most people would write: FastAPI, one SQLModel session per request, the tables of jobrunner.

    DATABASE=FILE python p_fastapi.py PORT

Writes the same rows as jobrunner does for the same request, durable before the answer.
"""

import json
import os
import sys
import time
import uuid

import sqlalchemy
import uvicorn
from fastapi import FastAPI, HTTPException
from sqlmodel import Session, create_engine, select

from jobrunner.store.tables import Base, ChangeRow, CounterRow, ExecutionRow, JobRow, TaskRow

engine = create_engine(f"sqlite:///{os.environ['DATABASE']}")
PLACE = ("demo", "us-central1")


@sqlalchemy.event.listens_for(engine, "connect")
def _connect(connection, _record):
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=30000")


app = FastAPI()


@app.post("/jobs/{name}:run")
def run(name: str):
    with Session(engine) as session:
        query = select(JobRow).where(
            JobRow.project == PLACE[0], JobRow.region == PLACE[1], JobRow.name == name
        )
        job = session.exec(query).first()
        if job is None:
            raise HTTPException(404, f"Job {name} not found")
        now = time.time()
        execution = _execution(job, now)
        session.add(execution)
        session.flush()
        session.add(TaskRow(execution=execution.uid, idx=0, state="Pending", attempts=0, counted=0,
                            lost=0, reason="", message=""))  # fmt: skip
        counter = session.get_one(CounterRow, "changes")
        counter.value += 1
        session.add(ChangeRow(position=counter.value, execution=execution.uid, sequence=1,
                              kind="created", at=now, data="{}"))  # fmt: skip
        job.execution_count += 1
        job.latest_uid = execution.uid
        session.commit()
        session.refresh(execution)
        return execution


@app.post("/jobs")
def create(document: dict):
    now = time.time()
    with Session(engine) as session:
        job = JobRow(
            uid=str(uuid.uuid4()), project=PLACE[0], region=PLACE[1],
            name=document["metadata"]["name"], spec=json.dumps(document["spec"]), generation=1,
            resource_version=int(now * 1e6), created_at=now, updated_at=now, creator="bench",
            last_modifier="bench", execution_count=0, hidden=False, latest_uid=None,
        )  # fmt: skip
        session.add(job)
        session.commit()
        session.refresh(job)
        return job


def _execution(job, now):
    uid = str(uuid.uuid4())
    return ExecutionRow(
        uid=uid, project=job.project, region=job.region, name=f"{job.name}-{uid[:8]}",
        job_uid=job.uid, job_name=job.name, job_generation=job.generation, template=job.spec,
        task_count=1, parallelism=1, backend="process", state="Pending", running=0, succeeded=0,
        failed=0, cancelled=0, retried=0, labels="{}", annotations="{}", created_at=now,
        started_at=None, completed_at=None, creator="bench", indices=None, env_task_count=1,
        parent=None, image_digest=None, abort_kind=None, abort_at=None, abort_message=None,
        abort_reason=None, reason="", message="", failed_index=None, lease_owner=None,
        lease_epoch=0, lease_until=None, generation=1, resource_version=int(now * 1e6),
        hidden=False, idempotency_key=None, change_count=1,
    )  # fmt: skip


if __name__ == "__main__":
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(CounterRow(name="changes", value=0))
        session.commit()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
