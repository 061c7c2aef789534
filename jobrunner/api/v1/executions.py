"""Methods of ``namespaces.executions`` and ``namespaces.tasks``."""

from __future__ import annotations

import re

from jobrunner.api.remembered import Remembered
from jobrunner.api.v1.answers import encoded, missing, removed
from jobrunner.api.v1.frame import LIST, PREFIX, REMOVE, Frame, method
from jobrunner.api.v1.writing import execution_to_v1, task_to_v1
from jobrunner.calls import Answer, Call, Method
from jobrunner.core.records import Execution, Scope, Task
from jobrunner.errors import NotFound
from jobrunner.service.removing import Removing

PAGE = 1000
AT_ONCE = 1.0
"""Seconds that the answer to a cancel waits for the end."""
_TASK = re.compile(r"(.+)-task(0|[1-9][0-9]{0,5})")


class ExecutionMethods:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._service = frame.parts.service
        self._shown = Remembered(self._bytes)

    def table(self) -> list[Method]:
        every, one = f"{PREFIX}/executions", f"{PREFIX}/executions/{{execution}}"
        tasks, task = f"{PREFIX}/tasks", f"{PREFIX}/tasks/{{task}}"
        return [
            method("run.executions.list", "GET", every, self.list, "Lists executions", query=LIST),
            method("run.executions.get", "GET", one, self.get, "Shows an execution"),
            method(
                "run.executions.delete", "DELETE", one, self.delete, "Ends and removes it",
                query=REMOVE,
            ),
            method("run.executions.cancel", "POST", f"{one}:cancel", self.cancel, "Stops it"),
            method("run.tasks.list", "GET", tasks, self.list_tasks, "Lists tasks", query=LIST),
            method("run.tasks.get", "GET", task, self.get_task, "Shows a task"),
        ]  # fmt: skip

    async def list(self, call: Call) -> Answer:
        asked = self._frame.asked(call, "executions", default=PAGE, most=PAGE)
        return await self._frame.listed(call, asked, self._frame.listing.executions, self._shown)

    async def get(self, call: Call) -> Answer:
        execution = self._find(self._frame.scope(call), call.params["execution"])
        return Answer(self._bytes(execution))

    async def cancel(self, call: Call) -> Answer:
        """Stores the wish. What ends at once is shown as ended: whoever asks again does so only
        seconds later."""
        scope, name = self._frame.scope(call), call.params["execution"]
        executions = self._service.acting(call.principal.name).executions

        def work() -> Execution:
            self._find(scope, name)
            return executions.cancel(scope, name)

        execution = await self._parts.commit(work)
        self._parts.runner.look()
        try:
            execution = await self._parts.runner.settled(execution.uid, within=AT_ONCE)
        except NotFound:
            raise missing("EXECUTION", name, scope) from None
        return Answer(self._bytes(execution))

    async def delete(self, call: Call) -> Answer:
        """Ends it if it runs, and answers when it is gone."""
        scope, name = self._frame.scope(call), call.params["execution"]
        self._find(scope, name)
        service = self._service.acting(call.principal.name)
        removing = Removing(service, self._parts.commit, self._parts.runner)
        try:
            execution = await removing.execution(scope, name, going=self._frame.ledger.going)
        except NotFound:
            raise missing("EXECUTION", name, scope) from None
        return removed("executions", name, execution.uid)

    async def list_tasks(self, call: Call) -> Answer:
        asked = self._frame.asked(call, "tasks", default=PAGE, most=PAGE)
        listing = self._frame.listing
        return await self._frame.listed(call, asked, listing.tasks, lambda r: self._task_bytes(*r))

    async def get_task(self, call: Call) -> Answer:
        scope, name = self._frame.scope(call), call.params["task"]
        match = _TASK.fullmatch(name)
        if match is None:
            raise missing("TASK", name, scope)
        store = self._service.store
        try:
            execution = store.get_execution(scope, match[1])
            task = store.get_task(execution.uid, int(match[2]))
        except NotFound:
            raise missing("TASK", name, scope) from None
        return Answer(self._task_bytes(task, execution))

    def _find(self, scope: Scope, name: str) -> Execution:
        try:
            return self._service.store.get_execution(scope, name)
        except NotFound:
            raise missing("EXECUTION", name, scope) from None

    def _bytes(self, execution: Execution) -> bytes:
        number = self._frame.places.number(execution.project)
        return encoded(execution_to_v1(execution, namespace=number))

    def _task_bytes(self, task: Task, execution: Execution) -> bytes:
        number = self._frame.places.number(execution.project)
        return encoded(task_to_v1(task, execution, namespace=number))
