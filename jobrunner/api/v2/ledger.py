"""Operations of v2: what a mutation promised, and how far it is.

An operation is stored with what it is about. As long as that is open, its state is read off the
target each time it is asked for: the operation of a run is done when the execution has ended,
whoever drove it and whatever happened to the server meanwhile. An operation whose target goes away
keeps what was known last.
"""

from __future__ import annotations

import json
from dataclasses import replace

from jobrunner.api.v1.answers import encoded
from jobrunner.api.v2 import names
from jobrunner.api.v2.writing import execution_to_v2, job_to_v2
from jobrunner.core.conditions import ABORTED_CODE, DEADLINE_CODE
from jobrunner.core.documents import Document
from jobrunner.core.outcome import TIMEOUT_MESSAGE
from jobrunner.core.records import Execution, Job, Operation
from jobrunner.core.spec import JobSpec
from jobrunner.core.states import SETTLED_EXECUTIONS, ExecutionState
from jobrunner.errors import NotFound
from jobrunner.ports import Clock, Ids, Store

JOB = "type.googleapis.com/google.cloud.run.v2.Job"
EXECUTION = "type.googleapis.com/google.cloud.run.v2.Execution"
RUN, CANCEL, DELETE, CREATE, UPDATE = "run", "cancel", "delete", "create", "update"
UNTIL_STARTED, UNTIL_ENDED = ":started", ":ended"
"""After ``create`` or ``update``: until what the job's token has opened is so far."""
NOT_FOUND_CODE, DATA_LOSS_CODE = 5, 15


class Ledger:
    """To be used inside a commit where it writes. Each method answers with the operation as the
    caller sees it."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    # ------------------------------------------------------------ opened

    def done(self, kind: str, target: Job | Execution) -> Document:
        """The change has been made already, and ``target`` is what came of it, or what it was
        before it was deleted."""
        now = self._clock.now()
        operation = self._new(kind, target, self._ids.uid())
        resource = resource_of(target, deleted_at=now if kind == DELETE else None)
        return self._keep(operation, finished(operation, resource), now)

    def stored(self, kind: str, job: Job, before: JobSpec | None) -> Document:
        """A job was created or updated; ``before`` is what it replaced. With a token that is new it
        is done when the token's execution is so far."""
        execution = self._opened_by_token(job, before)
        if execution is None:
            return self.done(kind, job)
        until = UNTIL_STARTED if job.spec.start_execution_token else UNTIL_ENDED
        operation = self._new(kind + until, execution, self._ids.uid())
        said = self._of_job(operation, execution, {})
        self._keep(operation, {"metadata": said["metadata"]}, None)
        return said

    def run(self, execution: Execution) -> Document:
        """Done when the execution has ended. It bears the uid of the execution: a call that is
        repeated under the same key gets the same operation."""
        return self._follow(self._new(RUN, execution, execution.uid), execution)

    def cancel(self, execution: Execution) -> Document:
        """Done when the execution has ended."""
        return self._follow(self._new(CANCEL, execution, self._ids.uid()), execution)

    def going(self, execution: Execution) -> None:
        """The execution is about to be removed: who waits for its run is told how it ended."""
        try:
            operation = self._store.get_operation(execution.scope, execution.uid)
        except NotFound:
            return
        if operation.done_at is None:
            said = self._of_execution(operation, execution)
            self._keep(operation, said, self._clock.now())

    def _follow(self, operation: Operation, execution: Execution) -> Document:
        # All the rest is read off the execution, as long as it is there.
        stub = {"@type": EXECUTION, "name": names.execution_path(execution), "uid": execution.uid}
        self._keep(operation, {"metadata": stub}, None)
        return self._of_execution(operation, execution)

    # ------------------------------------------------------------ read

    def shown(self, operation: Operation) -> Document:
        """The operation as it is now. ``done`` is left out until it is."""
        kept = _read(operation)
        if operation.done_at is not None:
            return {"name": names.operation_path(operation), **kept}
        try:
            execution = self._store.get_execution_by_uid(operation.target_uid)
        except NotFound:
            return self._of_nothing(operation, kept)
        if operation.kind.endswith((UNTIL_STARTED, UNTIL_ENDED)):
            return self._of_job(operation, execution, kept)
        return self._of_execution(operation, execution)

    def _of_execution(self, operation: Operation, execution: Execution) -> Document:
        resource = resource_of(execution)
        if execution.state not in SETTLED_EXECUTIONS:
            return {"name": names.operation_path(operation), "metadata": resource}
        # A cancelled execution is no error: clients look at its counts and conditions.
        failed = operation.kind == RUN and execution.state is ExecutionState.FAILED
        error = error_of(execution) if failed else None
        return finished(operation, resource, error)

    def _of_job(self, operation: Operation, execution: Execution, kept: Document) -> Document:
        """``create`` or ``update`` of a job with a token."""
        try:
            resource = resource_of(self._store.get_job(execution.scope, execution.job_name))
        except NotFound:
            return self._of_nothing(operation, kept)
        settled = execution.state in SETTLED_EXECUTIONS
        if operation.kind.endswith(UNTIL_STARTED):
            if execution.started_at is not None:
                return finished(operation, resource)
            well = False
        else:
            well = execution.state is ExecutionState.SUCCEEDED
        if not settled:
            return {"name": names.operation_path(operation), "metadata": resource}
        return finished(operation, resource, None if well else error_of(execution))

    def _of_nothing(self, operation: Operation, kept: Document) -> Document:
        """The target is gone. What was to be stopped has been stopped; how a run ended is not
        known any more."""
        metadata = kept.get("metadata", {})
        if operation.kind == CANCEL:
            return finished(operation, metadata)
        message = (
            f"Execution '{operation.target_name}' has been removed; how it ended is not known any"
            " more."
        )
        return finished(operation, metadata, {"code": NOT_FOUND_CODE, "message": message})

    # ------------------------------------------------------------ parts

    def _opened_by_token(self, job: Job, before: JobSpec | None) -> Execution | None:
        token = job.spec.start_execution_token or job.spec.run_execution_token
        known = before and (before.start_execution_token or before.run_execution_token)
        if not token or token == known:
            return None
        return self._store.get_execution(job.scope, f"{job.name}-{token}")

    def _new(self, kind: str, target: Job | Execution, id: str) -> Operation:
        return Operation(
            id=id,
            project=target.project,
            region=target.region,
            kind=kind,
            target_kind="job" if isinstance(target, Job) else "execution",
            target_uid=target.uid,
            target_name=target.name,
            created_at=self._clock.now(),
        )

    def _keep(self, operation: Operation, said: Document, done_at: float | None) -> Document:
        kept = {key: value for key, value in said.items() if key != "name"}
        text = encoded(kept).decode()
        self._store.put_operation(replace(operation, done_at=done_at, document=text))
        return said


def _read(operation: Operation) -> Document:
    """One that cannot be read keeps nobody from the others: it has ended, and nobody knows how."""
    try:
        kept = json.loads(operation.document)
    except ValueError:
        kept = None
    if isinstance(kept, dict):
        return kept
    message = "What is stored of this operation is damaged; how it ended cannot be told."
    return {"done": True, "error": {"code": DATA_LOSS_CODE, "message": message}}


def resource_of(target: Job | Execution, *, deleted_at: float | None = None) -> Document:
    """The document as an ``Any``: it says of which type it is."""
    if isinstance(target, Job):
        return {"@type": JOB, **job_to_v2(target, deleted_at=deleted_at)}
    return {"@type": EXECUTION, **execution_to_v2(target, deleted_at=deleted_at)}


def finished(operation: Operation, resource: object, error: Document | None = None) -> Document:
    return {
        "name": names.operation_path(operation),
        "metadata": resource,
        "done": True,
        **({"response": resource} if error is None else {"error": error}),
    }


def error_of(execution: Execution) -> Document:
    """A ``google.rpc.Status``: a deadline that was reached, or else an abort."""
    late = execution.message.endswith(TIMEOUT_MESSAGE)
    message = execution.message or f"Execution {execution.name} has failed to complete."
    return {"code": DEADLINE_CODE if late else ABORTED_CODE, "message": message}
