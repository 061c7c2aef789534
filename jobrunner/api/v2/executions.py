"""Methods of ``projects.locations.jobs.executions`` and of their tasks."""

from __future__ import annotations

import re

from jobrunner.api.remembered import Remembered
from jobrunner.api.v1.answers import encoded, missing
from jobrunner.api.v2.frame import ANY, Frame, check_etag
from jobrunner.api.v2.ledger import DELETE, Ledger
from jobrunner.api.v2.refusing import invalid
from jobrunner.api.v2.writing import execution_to_v2, task_to_v2
from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Document, Node
from jobrunner.core.params import flag
from jobrunner.core.problems import Problems
from jobrunner.core.records import Execution, Scope
from jobrunner.core.selectors import EXECUTION, Operator, Requirement, Selector
from jobrunner.errors import NotFound
from jobrunner.service.removing import Removing

CANCEL_REQUEST = "CancelExecutionRequest"
_TASK = re.compile(r"(.+)-task(0|[1-9][0-9]{0,5})")


class ExecutionMethods:
    def __init__(self, frame: Frame, ledger: Ledger) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._service = frame.parts.service
        self._ledger = ledger
        self._shown: Remembered[Execution] = Remembered(lambda one: encoded(execution_to_v2(one)))

    async def get(self, call: Call) -> Answer:
        execution = self._frame.execution(*self._named(call))
        return Answer(encoded(execution_to_v2(execution)))

    async def list(self, call: Call) -> Answer:
        """Newest first. ``-`` stands for all jobs."""
        asked = self._frame.asked(call, "executions", "job")
        place, job = self._frame.place(call), call.params["job"]
        if job != ANY and place.region is not None:
            self._frame.job(Scope(place.project, place.region), job)
        found = self._frame.listing.executions(
            place, job=None if job == ANY else job, limit=asked.limit, after=asked.after
        )
        return self._frame.listed(asked, list(map(self._shown, found.items)), found.after)

    async def cancel(self, call: Call) -> Answer:
        """Stores the wish. The operation is done when the execution has ended. The etag is taken
        and not compared: an execution changes all the time while it runs."""
        scope, job, name = self._named(call)
        rehearse = _cancel_order(call.body)

        def work() -> Document:
            self._frame.execution(scope, job, name)
            executions = self._service.acting(call.principal.name).executions
            return self._ledger.cancel(executions.cancel(scope, name))

        answer = await self._frame.operation(call, work, rehearse=rehearse)
        self._parts.runner.look()
        return answer

    async def delete(self, call: Call) -> Answer:
        """Ends it if it runs, and answers when it is gone."""
        scope, job, name = self._named(call)
        seen = call.params.get("etag", "")
        execution = self._frame.execution(scope, job, name)
        if flag(call.params, "validateOnly"):
            check_etag(seen, execution)
        else:
            service = self._service.acting(call.principal.name)
            removing = Removing(service, self._parts.commit, self._parts.runner)
            try:
                execution = await removing.execution(
                    scope, name, seen=lambda one: check_etag(seen, one), going=self._ledger.going
                )
            except NotFound:
                raise missing("EXECUTION", name, scope) from None
        return await self._frame.operation(call, lambda: self._ledger.done(DELETE, execution))

    # ------------------------------------------------------------ tasks

    async def list_tasks(self, call: Call) -> Answer:
        """By execution, newest first, and by index. ``-`` stands for all jobs or executions."""
        asked = self._frame.asked(call, "tasks", "job", "execution")
        place = self._frame.place(call)
        job, name = call.params["job"], call.params["execution"]
        if place.region is not None:
            scope = Scope(place.project, place.region)
            if name != ANY:
                self._frame.execution(scope, job, name)
            elif job != ANY:
                self._frame.job(scope, job)
        only = (Requirement(EXECUTION, Operator.IN, frozenset((name,))),)
        found = self._frame.listing.tasks(
            place,
            job=None if job == ANY else job,
            selector=Selector(() if name == ANY else only),
            limit=asked.limit,
            after=asked.after,
        )
        items = [encoded(task_to_v2(task, execution)) for task, execution in found.items]
        return self._frame.listed(asked, items, found.after)

    async def get_task(self, call: Call) -> Answer:
        scope, job, name = self._named(call)
        task = call.params["task"]
        match = _TASK.fullmatch(task)
        if match is None or name not in (ANY, match[1]):
            raise missing("TASK", task, scope)
        store = self._service.store
        try:
            execution = self._frame.execution(scope, job, match[1])
            found = store.get_task(execution.uid, int(match[2]))
        except NotFound:
            raise missing("TASK", task, scope) from None
        return Answer(encoded(task_to_v2(found, execution)))

    def _named(self, call: Call) -> tuple[Scope, str, str]:
        return self._frame.scope(call), call.params["job"], call.params["execution"]


def _cancel_order(body: object) -> bool:
    """Whether to cancel for show only."""
    problems = Problems()
    root = Node(body, "", problems)
    root.skip("name")
    root.text("etag")
    rehearse = root.flag("validateOnly")
    root.end()
    if problems.violations:
        raise invalid(CANCEL_REQUEST, problems.violations)
    return rehearse
