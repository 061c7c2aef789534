"""Many tasks by one call. What cannot be done of it is told in the metadata of the operation, which
is done when it is answered and is not kept: nobody has to ask for it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Document, Node, filled, shown
from jobrunner.core.params import invalid
from jobrunner.core.problems import Problems
from jobrunner.core.timestamps import format_time
from jobrunner.errors import AlreadyExists, InvalidSpec, JobrunnerError, NotFound, Refused
from triggers.api.tasks.frame import Frame
from triggers.api.tasks.items import TaskMethods
from triggers.api.tasks.names import queue_name, task_id
from triggers.api.tasks.task_reading import read_create
from triggers.api.tasks.task_writing import task_document

MOST_CREATED = 100
MOST_DELETED = 1000
TYPES = "type.googleapis.com/google.cloud.tasks.v2"
EMPTY = "type.googleapis.com/google.protobuf.Empty"
NONE_SUCCEEDED = (
    "None of the requests succeeded, refer to {}.failed_requests for individual error details"
)
_ABORTED = 10
_CODES: Mapping[type[JobrunnerError], int] = {
    InvalidSpec: 3,
    NotFound: 5,
    AlreadyExists: 6,
    Refused: 9,
}
"""``google.rpc.Code`` of what can be wrong with one of them; the first that fits."""


class BatchMethods:
    def __init__(self, frame: Frame, tasks: TaskMethods) -> None:
        self._frame = frame
        self._tasks = tasks

    async def create(self, call: Call) -> Answer:
        scope, queue = self._frame.scope(call), call.params["queue"]
        orders = _entries(call.body, "requests", MOST_CREATED)
        parent = queue_name(scope, queue)

        def one(field: str, order: object) -> Document:
            named = order.get("parent") if isinstance(order, dict) else None
            if named not in (None, "", parent):
                raise invalid(f"{field}.parent", f"{shown(named)} is not {parent}")
            wanted = read_create(order, scope, queue, self._frame.places.project, field)
            task = self._tasks.add(scope, queue, wanted)
            there = self._frame.queues.get(scope, queue)
            return task_document(task, there, full=wanted.full)

        def answer(made: list[Document]) -> Document:
            return {"@type": f"{TYPES}.BatchCreateTasksResponse", **filled(tasks=made)}

        return await self._each(call, "requests", orders, one, "BatchCreateTasks", answer)

    async def delete(self, call: Call) -> Answer:
        scope, queue = self._frame.scope(call), call.params["queue"]
        names = _entries(call.body, "names", MOST_DELETED)

        def one(field: str, name: object) -> Document:
            id = task_id(name, scope, queue, self._frame.places.project, field)
            if id is None:
                raise invalid(field, "it is missing; allowed: the name of a task")
            self._frame.queues.delete_task(scope, queue, id)
            return {}

        def answer(gone: list[Document]) -> Document:
            return {"@type": EMPTY}

        return await self._each(call, "names", names, one, "BatchDeleteTasks", answer)

    async def _each(
        self,
        call: Call,
        key: str,
        entries: Sequence[object],
        one: Callable[[str, object], Document],
        what: str,
        answer: Callable[[list[Document]], Document],
    ) -> Answer:
        scope, queue = self._frame.scope(call), call.params["queue"]
        clock = self._frame.parts.clock
        started = clock.now()
        done: list[Document] = []
        failed: dict[str, Document] = {}

        def work() -> None:
            self._frame.queues.get(scope, queue)
            done.clear()
            failed.clear()
            for place, entry in enumerate(entries):
                try:
                    done.append(one(f"{key}[{place}]", entry))
                except tuple(_CODES) as error:
                    failed[str(place)] = _status(error)

        await self._frame.write(work)
        state = "SUCCEEDED" if not failed else "PARTIALLY_SUCCEEDED"
        metadata = filled(
            startTime=format_time(started),
            endTime=format_time(clock.now()),
            state=state if done or not failed else "FAILED",
            failedRequests=failed,
        )
        id = self._frame.parts.ids.uid()
        operation: Document = {
            "name": f"projects/{scope.project}/locations/{scope.region}/operations/{id}",
            "metadata": {"@type": f"{TYPES}.{what}Metadata", **metadata},
            "done": True,
        }
        if failed and not done:
            message = NONE_SUCCEEDED.format(f"{what}Metadata")
            operation["error"] = {"code": _ABORTED, "message": message}
        else:
            operation["response"] = answer(done)
        return Answer(operation)


def _entries(body: object, key: str, most: int) -> Sequence[object]:
    problems = Problems()
    root = Node(body, "", problems)
    found = root.raw(key)
    root.skip("parent", "requestId")
    root.end()
    if not isinstance(found, list) or not found:
        problems.add(key, f"it is missing; allowed: a list of 1 to {most}")
        found = []
    if len(found) > most:
        problems.add(key, f"there are {len(found)}; allowed: at most {most}")
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return found


def _status(error: JobrunnerError) -> Document:
    code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    return {"code": code, "message": error.message}
