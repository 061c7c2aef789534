"""The use cases through a server: the same values, the same errors, nothing done twice."""

import inspect
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from jobrunner.client.remote import Remote
from jobrunner.client.service import RemoteExecutions, RemoteJobs
from jobrunner.core.records import Attempt, AttemptKey, Execution, Lease, Scope, Task
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, Overrides, TaskTemplate
from jobrunner.core.states import AttemptState, ExecutionState, TaskState
from jobrunner.errors import (
    AlreadyExists,
    InvalidSpec,
    JobrunnerError,
    LaunchFailed,
    NotFound,
    Refused,
    RunnerFault,
    StoreFault,
    UsageError,
    Violation,
)
from jobrunner.lib.framelog import FrameWriter
from jobrunner.ports import Move, Page, Turn
from jobrunner.service.calls import OPERATIONS, Desk, LogPlace
from jobrunner.service.codec import error_from, fault_of
from jobrunner.service.executions import Executions
from jobrunner.service.jobs import Jobs
from jobrunner.service.logs import LogFilter, Logs, rest
from tests.support.remote import Server, names, remote

SCOPE = Scope()


def spec(*command: str, tasks: int = 1) -> JobSpec:
    container = Container(command=command or ("true",))
    template = TaskTemplate(containers=(container,), max_retries=0)
    return JobSpec(template=ExecutionTemplate(template=template, task_count=tasks))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def home(server: Server) -> Remote:
    return remote(server)


# ---------------------------------------------------------------- the same


@pytest.mark.parametrize(("mine", "theirs"), [(RemoteJobs, Jobs), (RemoteExecutions, Executions)])
def test_a_use_case_takes_the_same_parameters_through_a_server(mine: type, theirs: type) -> None:
    for name, method in inspect.getmembers(mine, inspect.isfunction):
        if name.startswith("_"):
            continue
        known = inspect.signature(getattr(theirs, name)).parameters
        for parameter in inspect.signature(method).parameters.values():
            assert parameter.name in known, (name, parameter)
            assert parameter.kind == known[parameter.name].kind, (name, parameter)
            assert parameter.default == known[parameter.name].default, (name, parameter)


def test_jobs_are_the_same_values(server: Server, home: Remote) -> None:
    made = home.service.jobs.create(SCOPE, "j", spec("echo", "\u00e9\n"))
    assert made == server.service.jobs.get(SCOPE, "j") == home.service.jobs.get(SCOPE, "j")
    assert made.creator == "ada"
    changed = home.service.jobs.replace(SCOPE, "j", spec("echo"), expect_version=None)
    assert changed.generation == 2
    assert home.service.jobs.apply(SCOPE, "j", spec("echo"))[1] == "unchanged"
    assert home.service.jobs.find(SCOPE, "k") is None
    assert names(home.service.jobs.list(SCOPE, page=Page(limit=5))) == ["j"]
    assert home.service.jobs.list(None) == server.service.jobs.list(None)
    assert home.service.executions.delete_job(SCOPE, "j").name == "j"
    assert home.service.jobs.list(SCOPE) == []


def test_executions_are_the_same_values_and_the_runner_is_told(
    server: Server, home: Remote
) -> None:
    home.service.jobs.create(SCOPE, "j", spec(tasks=3))
    looks = server.runner.looks
    opened = home.service.executions.run(SCOPE, "j", Overrides(task_count=2), backend="process")
    assert server.runner.looks > looks
    assert (opened.creator, opened.task_count, opened.lease) == ("ada", 2, None)
    assert home.service.executions.get(SCOPE, opened.name) == opened
    assert home.store.get_execution_by_uid(opened.uid) == opened
    assert home.service.executions.list(SCOPE, job="j") == [opened]
    tasks = home.service.executions.tasks(opened, states=[TaskState.PENDING], page=Page(limit=9))
    assert tasks == server.store.list_tasks(opened.uid)
    assert home.service.executions.task(opened, 1) == tasks[1]
    assert home.service.executions.attempts(opened) == []
    assert home.service.executions.children(opened) == []
    wished = home.service.executions.cancel(SCOPE, opened.name)
    assert wished.abort is not None


def test_errors_come_back_as_they_were_raised(home: Remote) -> None:
    home.service.jobs.create(SCOPE, "report", spec())
    with pytest.raises(AlreadyExists):
        home.service.jobs.create(SCOPE, "report", spec())
    with pytest.raises(NotFound) as missing:
        home.service.jobs.get(SCOPE, "reprot")
    assert (missing.value.hint, missing.value.exit_code) == ("Did you mean 'report'?", 3)
    with pytest.raises(InvalidSpec) as wrong:
        home.service.jobs.create(SCOPE, "x", spec(tasks=0))
    assert [v.field for v in wrong.value.violations] == ["spec.template.spec.taskCount"]
    with pytest.raises(InvalidSpec, match="not valid Unicode"):
        home.service.jobs.create(SCOPE, "x", spec("\udcff"))
    running = home.service.executions.run(SCOPE, "report")
    with pytest.raises(Refused) as refused:
        home.service.executions.delete(SCOPE, running.name)
    assert type(refused.value) is Refused
    assert refused.value.hint == f"Cancel it first: jobrunner executions cancel {running.name}"


@pytest.mark.parametrize(
    "error",
    [
        StoreFault("away", hint="look"),
        InvalidSpec([Violation("a.b", "no"), Violation("", "neither")], hint="so"),
        LaunchFailed("no", permanent=True, reason="ContainerMissing"),
        UsageError("what"),
    ],
)
def test_an_error_is_carried_whole(error: JobrunnerError) -> None:
    came = error_from(fault_of(error))
    assert type(came) is type(error)
    assert (came.message, came.hint, came.exit_code) == (error.message, error.hint, error.exit_code)
    assert getattr(came, "violations", None) == getattr(error, "violations", None)
    assert getattr(came, "reason", None) == getattr(error, "reason", None)


def test_an_error_of_a_later_version_is_the_nearest_that_is_known() -> None:
    fault = {"classes": ["Overgrown", "StoreFault", "RunnerFault"], "message": "m", "hint": None}
    assert type(error_from(fault)) is StoreFault
    assert type(error_from({})) is RunnerFault


# ---------------------------------------------------------------- lost connections


def test_a_run_whose_answer_was_lost_is_opened_once(server: Server, home: Remote) -> None:
    home.service.jobs.create(SCOPE, "j", spec())
    server.failing = ["after", "before"]
    opened = home.service.executions.run(SCOPE, "j")
    assert names(server.store.list_executions(SCOPE)) == [opened.name]


def test_what_may_have_been_done_is_not_done_again(server: Server, home: Remote) -> None:
    server.failing = ["after"]
    with pytest.raises(RunnerFault, match="whether it was done is not known"):
        home.service.jobs.create(SCOPE, "j", spec())
    assert server.asked == ["create_job"]


def test_what_was_not_sent_is_sent_again(server: Server, home: Remote) -> None:
    server.failing = ["before", "before"]
    assert home.service.jobs.create(SCOPE, "j", spec()).name == "j"


def test_a_server_that_does_not_answer_is_named_with_the_way_on(
    server: Server, home: Remote
) -> None:
    server.failing = ["before"] * 3
    with pytest.raises(RunnerFault) as fault:
        home.service.jobs.list(SCOPE)
    assert fault.value.exit_code == 5
    assert fault.value.message == (
        "The server at http://127.0.0.1:8686 (pid 1) does not answer (Connection refused)."
    )
    assert "kill 1" in (fault.value.hint or "")


# ---------------------------------------------------------------- versions


def test_a_server_of_another_protocol_says_so(
    server: Server, home: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.client.wire.PROTOCOL", 2)
    with pytest.raises(RunnerFault, match=r"speaks protocol 1 .* and this command line speaks 2"):
        home.service.jobs.list(SCOPE)
    assert home.about().protocol == 1


def test_an_operation_that_the_server_does_not_know_is_a_matter_of_versions(
    server: Server, home: Remote
) -> None:
    server.methods.clear()
    with pytest.raises(RunnerFault, match="of another version"):
        home.service.jobs.list(SCOPE)


def test_fields_that_are_not_known_here_are_ignored(server: Server) -> None:
    body = (
        b'{"protocol": 1, "newer": 1, "arguments": {"scope": ["local", "us-central1"],'
        b' "later": [], "page": {"limit": 3, "sideways": true}}}'
    )
    status, answer = server.answer("/jobrunner/v1/call/list_jobs", body)
    assert (status, answer) == (200, b"[]")


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'{"protocol": 1}',
        b'{"protocol": 1, "arguments": {"scope": 5}}',
        b'{"protocol": 1, "arguments": {"scope": ["a"], "page": {"limit": "x"}}}',
    ],
)
def test_a_call_that_is_none_is_refused(server: Server, body: bytes) -> None:
    assert server.answer("/jobrunner/v1/call/list_jobs", body)[0] == 400


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("find_job", {"scope": ["local", "r"], "name": "\ud800"}),
        ("find_job", {"scope": ["local", "r"], "name": "a\0b"}),
        ("list_jobs", {"scope": None, "page": {"limit": 2**63}}),
        ("list_tasks", {"uid": "u", "page": {"after": str(2**70)}}),
        ("list_tasks", {"uid": "u", "page": {"after": "x"}}),
        ("get_task", {"uid": "u", "index": 2**40}),
        ("list_attempts", {"uid": "u", "index": -1}),
        ("news", {"uid": "u", "\ud800": 1}),
        ("read_logs", {"wanted": [{"key": ["u", 0, 0]}] * 1000, "size": 2**62}),
        ("run", {"scope": ["local", "r"], "job_name": "j"}),
    ],
)
def test_what_no_store_can_be_asked_for_is_refused(
    server: Server, operation: str, arguments: dict[str, object]
) -> None:
    body = json.dumps({"protocol": 1, "arguments": arguments}).encode()
    status, answer = server.answer(f"/jobrunner/v1/call/{operation}", body)
    assert (status, json.loads(answer)["fault"]["classes"][0]) == (400, "UsageError")


def test_a_log_is_named_by_a_uid_and_a_place_and_by_nothing_else(home: Remote) -> None:
    for key, place in ((AttemptKey("../x", 0, 0), ""), (AttemptKey("u", 0, 0), "../../x")):
        with pytest.raises(UsageError):
            home.wire.call(Desk.read_logs, [LogPlace(key, place)], 10)


def test_every_operation_that_writes_is_for_more_than_viewers() -> None:
    for operation in OPERATIONS.values():
        assert operation.changes == (operation.role > 1), operation.name


# ---------------------------------------------------------------- output


def write(server: Server, key: AttemptKey, *data: bytes, at: float = 1.0) -> None:
    writer = FrameWriter(server.logs.path_for(key), head=10**9, tail=10**9)
    for part in data:
        writer.write(at, 1, part)
    writer.close()


def ended(execution: Execution, index: int) -> Attempt:
    return Attempt(
        execution.uid, index, 0, AttemptState.SUCCEEDED, claimed_at=float(index), ended_at=9e9
    )


def test_the_bytes_of_a_long_log_are_exact_and_come_in_parts(server: Server, home: Remote) -> None:
    blob = os.urandom(3_000_000)
    key = AttemptKey("u", 0, 0)
    write(server, key, *(blob[at : at + 65536] for at in range(0, len(blob), 65536)))
    assert b"".join(chunk.data for chunk in home.logs.chunks(key)) == blob
    assert 3 <= len(server.asked) <= 5
    assert home.logs.tail(key, 100) == server.logs.tail(key, 100)


def test_a_reader_goes_on_where_it_was_and_loses_nothing_to_reading_ahead(
    server: Server, home: Remote
) -> None:
    keys = [AttemptKey("u", n, 0) for n in range(5)]
    readers = {key: home.logs.reader(key) for key in keys}
    writers = {k: FrameWriter(server.logs.path_for(k), head=10**6, tail=10**6) for k in keys}
    got = dict.fromkeys(keys, b"")
    for turn in range(4):
        for key in keys:
            writers[key].write(1.0, 1, b"%d." % turn)
        home.logs.expect(keys)
        asked = len(server.asked)
        for key in keys:
            got[key] += b"".join(chunk.data for chunk in readers[key].read())
        assert len(server.asked) == asked + 1
    assert set(got.values()) == {b"0.1.2.3."}


class Few:
    """A store of ended attempts, and the logs of a server."""

    def __init__(self, execution: Execution, attempts: Sequence[Attempt]) -> None:
        self._execution = execution
        self._attempts = attempts

    def get_execution_by_uid(self, uid: str) -> Execution:
        return replace(self._execution, state=ExecutionState.SUCCEEDED)

    def list_attempts(self, execution: str, *, index: int | None = None) -> Sequence[Attempt]:
        return [a for a in self._attempts if index in (None, a.index)]


def test_the_output_of_many_tasks_takes_few_requests(server: Server, home: Remote) -> None:
    home.service.jobs.create(SCOPE, "j", spec(tasks=1000))
    execution = home.service.executions.run(SCOPE, "j")
    attempts = [ended(execution, n) for n in range(1000)]
    for attempt in attempts:
        write(server, attempt.key, b"%d\n" % attempt.index, at=float(attempt.index))
    server.asked.clear()
    few = Few(execution, attempts)
    logs = Logs(few, home.logs, is_driven=home.is_driven)
    assert [line.text for line in logs.lines(execution, LogFilter())] == [
        str(n) for n in range(1000)
    ]
    assert len(server.asked) < 20


# ---------------------------------------------------------------- following


class Heard:
    def __init__(self) -> None:
        self.opened: list[int] = []
        self.endings: list[tuple[int, AttemptState]] = []
        self.tasks: list[int] = []
        self.end: Execution | None = None
        self.warnings: list[str] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def wants_attempts(self) -> bool:
        return True

    def wants_tasks(self, execution: Execution) -> bool:
        return True

    def turn(
        self,
        execution: Execution,
        opened: Sequence[Attempt],
        changed: Sequence[Attempt],
        tasks: Sequence[Task],
    ) -> None:
        self.opened += [a.index for a in opened]
        self.endings += [(a.index, a.state) for a in changed]
        self.tasks += [task.index for task in tasks]

    def settled(self, execution: Execution) -> None:
        self.end = execution


class Driver:
    """Stores turns as a runner would, one each time that somebody sleeps."""

    def __init__(self, server: Server, execution: Execution) -> None:
        self._server = server
        claimed = server.store.claim(execution.uid, "me", now=1e9, ttl=1e9)
        self.execution = claimed
        self.steps = [self.start, self.finish, self.start_two, self.end]

    def step(self, seconds: float) -> None:
        if self.steps:
            self.steps.pop(0)()

    def _record(self, **more: object) -> None:
        turn = Turn(self.execution, at=1e9, **more)  # type: ignore[arg-type]
        self._server.store.record(turn)

    def _attempt(self, index: int, state: AttemptState) -> Attempt:
        return Attempt(self.execution.uid, index, 0, state, claimed_at=1.0)

    def start(self) -> None:
        self.execution = replace(self.execution, state=ExecutionState.RUNNING, started_at=1.0)
        self._record(opened=[self._attempt(0, AttemptState.STARTING)])

    def finish(self) -> None:
        self._finish(0)

    def _finish(self, index: int) -> None:
        moved = replace(self._attempt(index, AttemptState.SUCCEEDED), ended_at=2.0)
        task = Task(
            self.execution.uid, index, TaskState.SUCCEEDED, attempts=1, completed_at=2.0 + index
        )
        self._record(moved=[Move(AttemptState.STARTING, moved)], tasks=[task])

    def start_two(self) -> None:
        self._record(opened=[self._attempt(1, AttemptState.STARTING)])
        self._finish(1)

    def end(self) -> None:
        self.execution = replace(
            self.execution,
            state=ExecutionState.SUCCEEDED,
            completed_at=5.0,
            lease=Lease("me", 1, 2e9),
        )
        self._record()


@pytest.mark.parametrize("failing", [[], [None, "before", None, "after", "after", "before"]])
def test_each_change_is_told_once_whatever_happens_to_the_connection(
    server: Server, failing: list[str | None]
) -> None:
    through = remote(server)
    through.service.jobs.create(SCOPE, "j", spec(tasks=2))
    execution = through.service.executions.run(SCOPE, "j")
    driver = Driver(server, execution)
    through = remote(server)
    through._sleep = driver.step
    server.failing = list(failing)
    heard = Heard()
    end = through.drive(execution, observer=heard, interrupts=False)
    assert end.state is ExecutionState.SUCCEEDED
    assert heard.end == end
    assert heard.opened == [0, 1]
    assert heard.endings == [(0, AttemptState.SUCCEEDED), (1, AttemptState.SUCCEEDED)]
    assert heard.tasks == [0, 1]


def test_the_picture_never_stands_for_long_because_a_question_took_long() -> None:
    assert rest(0.1, 0.001) == 0.1
    assert rest(0.1, 0.05) == 0.5
    assert rest(0.1, 60.0) == 2.0


def test_the_first_signal_cancels_through_the_server_and_goes_on_following(server: Server) -> None:
    through = remote(server)
    through.service.jobs.create(SCOPE, "j", spec())
    execution = through.service.executions.run(SCOPE, "j")
    driver = Driver(server, execution)

    def step(seconds: float) -> None:
        through.interrupted = True
        if server.store.get_execution_by_uid(execution.uid).abort is not None:
            driver.end()

    through._sleep = step
    end = through.drive(execution, observer=Heard(), interrupts=False)
    assert end.abort is not None
    assert server.asked.count("cancel") == 1


def test_two_signals_at_once_still_cancel(server: Server) -> None:
    through = remote(server)
    through.service.jobs.create(SCOPE, "j", spec())
    execution = through.service.executions.run(SCOPE, "j")

    def step(seconds: float) -> None:
        through.interrupted = True
        raise KeyboardInterrupt

    through._sleep = step
    with pytest.raises(KeyboardInterrupt):
        through.drive(execution, observer=Heard(), interrupts=False)
    assert server.store.get_execution_by_uid(execution.uid).abort is not None


def test_that_it_cannot_be_driven_now_is_told_once(server: Server) -> None:
    through = remote(server)
    through.service.jobs.create(SCOPE, "j", spec())
    execution = through.service.executions.run(SCOPE, "j")
    server.runner.troubles[execution.uid] = "j-1: The engine does not answer."
    steps = 0

    def step(seconds: float) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            server.runner.troubles.clear()
            Driver(server, execution).end()

    through._sleep = step
    heard = Heard()
    through.drive(execution, observer=heard, interrupts=False)
    assert heard.warnings == ["j-1: The engine does not answer. The server tries again by itself."]


def test_continuing_what_has_ended_is_refused(server: Server, home: Remote) -> None:
    home.service.jobs.create(SCOPE, "j", spec())
    execution = home.service.executions.run(SCOPE, "j")
    Driver(server, execution).end()
    now = home.service.executions.get(SCOPE, execution.name)
    with pytest.raises(Refused, match="there is nothing to continue"):
        home.drive_again(now, observer=Heard())
    assert home.wait(now, timeout=None) == now


def test_waiting_ends_with_patience(server: Server, home: Remote) -> None:
    home.service.jobs.create(SCOPE, "j", spec())
    execution = home.service.executions.run(SCOPE, "j")
    with pytest.raises(Refused, match="had not ended after 0 seconds"):
        home.wait(execution, timeout=0.0)
