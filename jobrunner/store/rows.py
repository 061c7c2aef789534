"""Rows to values and back. The order of the columns is said once, here."""

from __future__ import annotations

from jobrunner.core.records import (
    Abort,
    Attempt,
    Counters,
    Execution,
    ExecutionChange,
    ExecutionRef,
    Job,
    Lease,
    Operation,
    Task,
    Token,
    Usage,
)
from jobrunner.core.states import AttemptState, ExecutionState, StopReason, TaskState
from jobrunner.lib.database import Row
from jobrunner.store.documents import (
    decode_indices,
    decode_map,
    decode_spec,
    decode_template,
    encode,
    encode_template,
)

# A look-up is three times as fast as calling the enumeration, and there are tens of thousands.
_ATTEMPT_STATES = {state.value: state for state in AttemptState}
_TASK_STATES = {state.value: state for state in TaskState}
_NO_USAGE = Usage()


def columns(names: str, table: str = "") -> str:
    """``a b`` as ``a, b`` or ``table.a, table.b``."""
    return ", ".join(f"{table}.{name}" if table else name for name in names.split())


def marks(names: str) -> str:
    return ", ".join("?" for _ in names.split())


def clean(text: str) -> str:
    """Text of a message as both databases take it: no NUL, no lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


# ---------------------------------------------------------------------------------------- jobs

JOB = (
    "uid project region name spec generation resource_version created_at updated_at creator"
    " last_modifier execution_count hidden"
)
LATEST = "name created_at completed_at state"


def job_row(job: Job) -> tuple[object, ...]:
    return (
        job.uid,
        job.project,
        job.region,
        job.name,
        encode(job.spec),
        job.generation,
        job.resource_version,
        job.created_at,
        job.updated_at,
        job.creator,
        job.last_modifier,
        job.execution_count,
        job.hidden,
    )


def job_of(row: Row) -> Job:
    """From the columns of ``JOB`` followed by those of ``LATEST`` of its latest execution."""
    latest = None
    if row[13] is not None:
        latest = ExecutionRef(
            name=row[13], created_at=row[14], completed_at=row[15], state=ExecutionState(row[16])
        )
    return Job(
        uid=row[0],
        project=row[1],
        region=row[2],
        name=row[3],
        spec=decode_spec(row[4]),
        generation=row[5],
        resource_version=row[6],
        created_at=row[7],
        updated_at=row[8],
        creator=row[9],
        last_modifier=row[10],
        execution_count=row[11],
        hidden=bool(row[12]),
        latest_execution=latest,
    )


# ---------------------------------------------------------------------------------- executions

EXECUTION = (
    "uid project region name job_uid job_name job_generation template task_count parallelism"
    " backend state running succeeded failed cancelled retried labels annotations created_at"
    " started_at completed_at creator indices env_task_count parent image_digest abort_kind"
    " abort_at abort_message abort_reason reason message failed_index lease_owner lease_epoch"
    " lease_until"
    " generation resource_version hidden idempotency_key"
)


def abort_row(abort: Abort | None) -> tuple[str | None, float | None, str | None, str | None]:
    if abort is None:
        return None, None, None, None
    return abort.kind, abort.at, clean(abort.message), abort.reason


def execution_row(execution: Execution) -> tuple[object, ...]:
    counters, lease = execution.counters, execution.lease
    return (
        execution.uid,
        execution.project,
        execution.region,
        execution.name,
        execution.job_uid,
        execution.job_name,
        execution.job_generation,
        encode_template(execution.template),
        execution.task_count,
        execution.parallelism,
        execution.backend,
        execution.state.value,
        counters.running,
        counters.succeeded,
        counters.failed,
        counters.cancelled,
        counters.retried,
        encode(execution.labels),
        encode(execution.annotations),
        execution.created_at,
        execution.started_at,
        execution.completed_at,
        execution.creator,
        None if execution.indices is None else encode(execution.indices),
        execution.env_task_count,
        execution.parent,
        execution.image_digest,
        *abort_row(execution.abort),
        execution.reason,
        clean(execution.message),
        execution.failed_index,
        None if lease is None else lease.owner,
        0 if lease is None else lease.epoch,
        None if lease is None else lease.until,
        execution.generation,
        execution.resource_version,
        execution.hidden,
        execution.idempotency_key,
    )


def execution_of(row: Row) -> Execution:
    """From the columns of ``EXECUTION``."""
    return Execution(
        uid=row[0],
        project=row[1],
        region=row[2],
        name=row[3],
        job_uid=row[4],
        job_name=row[5],
        job_generation=row[6],
        template=decode_template(row[7]),
        task_count=row[8],
        parallelism=row[9],
        backend=row[10],
        state=ExecutionState(row[11]),
        counters=Counters(*row[12:17]),
        labels=decode_map(row[17]),
        annotations=decode_map(row[18]),
        created_at=row[19],
        started_at=row[20],
        completed_at=row[21],
        creator=row[22],
        indices=decode_indices(row[23]),
        env_task_count=row[24],
        parent=row[25],
        image_digest=row[26],
        abort=None if row[27] is None else Abort(*row[27:31]),
        reason=row[31],
        message=row[32],
        failed_index=row[33],
        lease=None if row[34] is None else Lease(*row[34:37]),
        generation=row[37],
        resource_version=row[38],
        hidden=bool(row[39]),
        idempotency_key=row[40],
    )


# --------------------------------------------------------------------------------------- tasks

TASK = (
    "idx state attempts counted lost not_before started_at completed_at reason message exit_code"
    " signal"
)


def task_of(execution: str, row: Row) -> Task:
    """From the columns of ``TASK``. ``execution`` is the caller's, so that it is held once."""
    return Task(execution, row[0], _TASK_STATES[row[1]], *row[2:])


# ------------------------------------------------------------------------------------ attempts

ATTEMPT = (
    "idx number state handle stop_reason claimed_at launched_at stopping_at ended_at exit_code"
    " signal oom reason message usage_user usage_system usage_max_rss output"
)


def attempt_of(execution: str, row: Row) -> Attempt:
    """From the columns of ``ATTEMPT``."""
    used = row[14:17]
    return Attempt(
        execution,
        row[0],
        row[1],
        _ATTEMPT_STATES[row[2]],
        row[3],
        None if row[4] is None else StopReason(row[4]),
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        bool(row[11]),
        row[12],
        row[13],
        _NO_USAGE if used == (None, None, None) else Usage(*used),
        row[17],
    )


# ---------------------------------------------------------------------------------------- feed

CHANGE = "position execution sequence kind at data"


def change_of(row: Row) -> ExecutionChange:
    """From the columns of ``CHANGE``."""
    return ExecutionChange(row[0], row[1], row[2], row[3], row[4], decode_map(row[5]))


# ------------------------------------------------------------------- the control plane's own

OPERATION = "id project region kind target_kind target_uid target_name created_at done_at document"


def operation_row(operation: Operation) -> tuple[object, ...]:
    return (
        operation.id,
        operation.project,
        operation.region,
        operation.kind,
        operation.target_kind,
        operation.target_uid,
        operation.target_name,
        operation.created_at,
        operation.done_at,
        operation.document,
    )


def operation_of(row: Row) -> Operation:
    """From the columns of ``OPERATION``."""
    return Operation(*row)


TOKEN = "id name role hash created_at expires_at last_used_at revoked_at creator"


def token_row(token: Token) -> tuple[object, ...]:
    return (
        token.id,
        token.name,
        token.role,
        token.hash,
        token.created_at,
        token.expires_at,
        token.last_used_at,
        token.revoked_at,
        token.creator,
    )


AUDIT = "position at actor method resource code detail"
