"""Starts an execution for a :class:`JobTarget`, in the same process and the same database.

The key of a try is the delivery and the number of its executions that ended with a failure. Asked
again, after a crash or by another runner, the store answers with the execution that is there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace

from jobrunner.core.records import Execution, Scope
from jobrunner.core.spec import InputFile, Overrides
from jobrunner.errors import InvalidSpec, JobrunnerError, KeySpent, NotFound, Refused, UsageError
from jobrunner.service.parts import Parts
from triggers.core.event_variables import FILE_VARIABLE
from triggers.core.records import Ack, Delivery, HttpTarget, JobTarget, Payload
from triggers.core.runurls import RunUrl, read_order
from triggers.core.verdict import Answer, Break, Broken, RunEnd
from triggers.ports import Sent
from triggers.senders.headers import body_of

FILE_NAME = "cloudevent.json"
EXCERPT, WORDS = 4096, 500
"""The most that is kept of an error: bytes with the attempt, characters in the reason."""

log = logging.getLogger(__name__)


class JobSender:
    """:class:`triggers.ports.Sender` for JobTargets, and for URLs that start a job."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def send(self, delivery: Delivery, number: int) -> Sent:
        target = delivery.target
        if not isinstance(target, JobTarget):
            return Sent(Broken(Break.UNUSABLE, "the target is not a job"))
        scope = Scope(target.project, target.region)
        wanted = with_file(target.overrides, delivery.payload)
        overrides = None if wanted == Overrides() else wanted
        on_start = target.ack is Ack.ON_START
        try:
            execution = await self._start(delivery, lambda: scope, target.job, overrides)
        except KeySpent as error:
            return _gone(error, on_start=on_start)
        except Exception as error:
            return _refused(error)
        if on_start:
            return _started(execution)
        return Sent(RunEnd(execution.name, execution.state), execution=execution.uid)

    async def run_url(self, delivery: Delivery, target: HttpTarget, url: RunUrl) -> Sent:
        """Answers as Cloud Run would: 200 as soon as the execution exists, 404 for a job that is
        not here, 400 for a body that breaks a rule."""
        if url.version == 0 or target.method.upper() != "POST":
            return _answer(404, "this is no method of Cloud Run that starts a job")
        try:
            order = read_order(url.version, body_of(delivery, target))
            if order.validate_only:
                return self._rehearsed(url)
            execution = await self._start(
                delivery, lambda: self._scope(url), url.job, order.overrides
            )
        except KeySpent as error:
            return _gone(error, on_start=True)
        except Exception as error:
            return _refused(error)
        return _started(execution)

    async def close(self) -> None:
        """Holds nothing."""

    async def _start(
        self,
        delivery: Delivery,
        scope: Callable[[], Scope],
        job: str,
        overrides: Overrides | None,
    ) -> Execution:
        actor = f"{delivery.source}/{delivery.source_name}"
        executions = self._parts.service.acting(actor).executions
        key = f"{delivery.uid}/{delivery.run_try}"

        def work() -> Execution:
            return executions.run(scope(), job, overrides, idempotency_key=key)

        execution = await self._parts.commit(work)
        self._parts.runner.look()
        return execution

    def _scope(self, url: RunUrl) -> Scope:
        """Raises NotFound for the number of a project that was never given out."""
        default = self._parts.default
        project = url.project
        if project.isascii() and project.isdecimal() and len(project) <= 18:
            project = self._parts.service.store.project_of(int(project))
        return Scope(project, url.region or default.region)

    def _rehearsed(self, url: RunUrl) -> Sent:
        self._parts.service.jobs.get(self._scope(url), url.job)
        return Sent(Answer(200), b"{}")


def with_file(overrides: Overrides, payload: Payload | None) -> Overrides:
    """``overrides`` with the event that a delivery carries as a file; it stays with the execution,
    so that each attempt of each task finds it."""
    if payload is None:
        return overrides
    return replace(overrides, files=(InputFile(FILE_NAME, FILE_VARIABLE, payload.body),))


def _started(execution: Execution) -> Sent:
    name = (
        f"projects/{execution.project}/locations/{execution.region}"
        f"/jobs/{execution.job_name}/executions/{execution.name}"
    )
    answer = Answer(200, words=f"execution {execution.name} was started")
    return Sent(answer, json.dumps({"name": name}).encode(), execution.uid)


def _answer(status: int, message: str) -> Sent:
    return Sent(Answer(status, words=message.removesuffix(".")[:WORDS]), message.encode()[:EXCERPT])


def _gone(error: KeySpent, *, on_start: bool) -> Sent:
    """The execution of this try was started, and has been removed since. It counts as started; how
    it ended nobody knows any more, and to run it again may be to run it twice."""
    if on_start:
        return _answer(200, error.message)
    reason = f"{error.message} How it ended is not known; replay the delivery to run it again."
    return Sent(Broken(Break.UNUSABLE, reason))


def _refused(error: Exception) -> Sent:
    match error:
        case NotFound():
            status = 404
        case InvalidSpec() | UsageError():
            status = 400
        case Refused():
            status = 409
        case JobrunnerError():
            return Sent(Broken(Break.CONNECT, error.message))
        case _:
            log.error("a bug while starting a job", exc_info=error)
            return Sent(Broken(Break.PROTOCOL, f"{type(error).__name__}: {error}"))
    return _answer(status, error.message)
