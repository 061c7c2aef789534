"""Methods of ``projects.locations.queues.tasks``: a task is an item of a queue."""

from __future__ import annotations

from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Node, filled
from jobrunner.core.params import page_after, page_size, page_token
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec
from jobrunner.ports import Page
from triggers.api.tasks.frame import Frame
from triggers.api.tasks.names import full_view, task_name
from triggers.api.tasks.task_reading import NewTask, buffered_body, buffered_target, read_create
from triggers.api.tasks.task_writing import task_document
from triggers.core.queues import Task
from triggers.core.records import Unreadable

LARGEST_PAGE = 1000


class TaskMethods:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._queues = frame.queues

    async def list(self, call: Call) -> Answer:
        scope, queue = self._of(call)
        full = full_view(call.params.get("responseView"))
        bound = ("tasks", *scope, queue)
        after = page_after(call.params, *bound)
        size = page_size(call.params, default=LARGEST_PAGE, most=LARGEST_PAGE)
        there = self._queues.get(scope, queue)
        found = self._queues.list_tasks(scope, queue, page=Page(size + 1, after))
        token = page_token(found[size - 1].name, *bound) if len(found) > size else ""
        shown = [
            {"name": task_name(scope, queue, task.name)}
            if isinstance(task, Unreadable)
            else task_document(task, there, full=full)
            for task in found[:size]
        ]
        return Answer(filled(tasks=shown, nextPageToken=token))

    async def get(self, call: Call) -> Answer:
        scope, queue = self._of(call)
        full = full_view(call.params.get("responseView"))
        task = self._queues.get_task(scope, queue, call.params["task"])
        return self._shown(scope, queue, task, full=full)

    async def create(self, call: Call) -> Answer:
        scope, queue = self._of(call)
        wanted = read_create(call.body, scope, queue, self._frame.places.project)
        task = await self._frame.write(lambda: self.add(scope, queue, wanted))
        return self._shown(scope, queue, task, full=wanted.full)

    async def buffer(self, call: Call) -> Answer:
        """Everything but the body is said by the queue. Without an id one is made up."""
        scope, queue = self._of(call)
        assert call.raw is not None
        declared = (call.raw.header(b"content-type") or b"").decode("latin-1")
        body, content_type = buffered_body(call.raw.body, declared)

        def work() -> Task:
            there = self._queues.get(scope, queue)
            target = buffered_target(there.http, body, content_type)
            return self._queues.create_task(
                scope, queue, target=target, name=call.params.get("task")
            )

        task = await self._frame.write(work)
        there = self._queues.get(scope, queue)
        return Answer({"task": task_document(task, there, full=False)})

    async def delete(self, call: Call) -> Answer:
        scope, queue = self._of(call)
        name = call.params["task"]
        await self._frame.write(lambda: self._queues.delete_task(scope, queue, name))
        return Answer({})

    async def run(self, call: Call) -> Answer:
        scope, queue = self._of(call)
        full = _view_of(call.body)
        name = call.params["task"]
        task = await self._frame.write(lambda: self._queues.run_task(scope, queue, name))
        return self._shown(scope, queue, task, full=full)

    def add(self, scope: Scope, queue: str, wanted: NewTask) -> Task:
        """Inside a transaction."""
        retry = None
        if wanted.retry is not None:
            retry = wanted.retry(self._queues.get(scope, queue).retry)
        return self._queues.create_task(
            scope,
            queue,
            target=wanted.target,
            name=wanted.name,
            schedule_time=wanted.schedule_time,
            retry=retry,
        )

    def _shown(self, scope: Scope, queue: str, task: Task, *, full: bool) -> Answer:
        return Answer(task_document(task, self._queues.get(scope, queue), full=full))

    def _of(self, call: Call) -> tuple[Scope, str]:
        return self._frame.scope(call), call.params["queue"]


def _view_of(body: object) -> bool:
    problems = Problems()
    root = Node(body, "", problems)
    view = root.raw("responseView")
    root.skip("name")
    root.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return full_view(view)
