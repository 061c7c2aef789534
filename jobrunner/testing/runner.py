"""The runner of a test: what a test does to it, and what it asks it."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import tempfile
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobrunner.client.clock import RemoteClock
from jobrunner.client.documents import DocumentClient
from jobrunner.client.finding import Endpoint, find_server, finder
from jobrunner.client.remote import Remote
from jobrunner.core.records import Scope
from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.core.timestamps import format_time
from jobrunner.errors import JobrunnerError, RunnerFault
from jobrunner.ports import Page
from jobrunner.settings import from_environment
from jobrunner.testing.asking import Asking
from jobrunner.testing.local import Answers, Sink
from jobrunner.testing.process import ServerProcess
from jobrunner.testing.records import Execution, instant
from jobrunner.testing.sending import post_event, post_push, publish

PATIENCE = 60.0
MOST = 10_000

Document = dict[str, Any]


class NotSettled(AssertionError):
    """The clock could not go on: something that was started has not ended."""


class Runner(Asking):
    """A server that runs for one test. ``home`` is its directory, ``url`` where it answers. Not for
    several threads at once."""

    def __init__(self, process: ServerProcess, *, virtual: bool, emulator: str | None) -> None:
        self.home = Path(process.home)
        self.url = process.url
        self.virtual = virtual
        self._process = process
        self._emulator = emulator
        self._sinks: list[Sink] = []
        env = {"JOBRUNNER_HOME": process.home, "USER": "test"}
        settings = from_environment(env)
        found = find_server(env, process.home)
        if found is None:
            raise RunnerFault(f"The server of the test has gone:\n{process.said()}")
        self._env = env
        self._endpoint: Endpoint = found
        scope = Scope(settings.project, settings.region)
        super().__init__(Remote(settings, finder(env, process.home)), DocumentClient(found), scope)

    # ------------------------------------------------------------ doing

    def apply(self, *documents: str | os.PathLike[str] | Mapping[str, Any]) -> list[str]:
        """Creates or replaces what files (or directories of them) and documents describe, as
        ``jobrunner apply`` does; returns what it says. Raises what that raises: InvalidSpec with
        all that is wrong."""
        from jobrunner.cli.base import State
        from jobrunner.cli.documents import apply_all, read_documents
        from jobrunner.cli.table import KINDS

        state = State(home=str(self.home), env=self._env)
        said = io.StringIO()
        with tempfile.TemporaryDirectory(prefix="jr-") as folder:
            paths = [_as_file(one, folder, number) for number, one in enumerate(documents)]
            with contextlib.redirect_stdout(said):
                apply_all(state, read_documents(paths), dry_run=False, others=KINDS)
        return said.getvalue().splitlines()

    def run(
        self,
        job: str,
        *,
        args: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        tasks: int | None = None,
        wait: bool = True,
    ) -> Execution:
        """Opens an execution. With ``wait`` it has ended when this returns; on a virtual clock,
        what needs no time has."""
        overrides = None
        if args is not None or env or tasks is not None:
            variables = tuple(EnvVar(name, value) for name, value in (env or {}).items())
            change = ContainerOverride(args=tuple(args or ()), clear_args=args == [], env=variables)
            overrides = Overrides(containers=(change,), task_count=tasks)
        opened = self._remote.service.executions.run(self._scope, job, overrides)
        if wait and self.virtual:
            self.settle()
        elif wait:
            self._remote.wait(opened, timeout=PATIENCE)
        return self.execution(opened.name)

    def send_event(
        self,
        type: str,
        data: Any = None,
        *,
        source: str = "//test",
        id: str | None = None,
        subject: str | None = None,
        channel: str | None = None,
        **extensions: str,
    ) -> str:
        """Sends a CloudEvent to ``/events`` and returns its id. ``data`` is bytes, or what can be
        written as JSON."""
        event = {"specversion": "1.0", "id": id or uuid.uuid4().hex, "source": source, "type": type}
        event |= extensions | ({} if subject is None else {"subject": subject})
        post_event(self._endpoint, event, data, channel)
        self._settle_if_virtual()
        return event["id"]

    def push(
        self,
        subscription: str,
        data: bytes | str = b"",
        *,
        attributes: Mapping[str, str] | None = None,
        message_id: str | None = None,
        ordering_key: str = "",
    ) -> int:
        """Pushes a message to ``/push/SUBSCRIPTION`` as Pub/Sub does; the status of the answer."""
        raw = data.encode() if isinstance(data, str) else data
        now = format_time(self.now().timestamp())
        number = message_id or str(uuid.uuid4().int % 10**16)
        message: Document = {
            "data": base64.b64encode(raw).decode(),
            "messageId": number, "message_id": number, "publishTime": now, "publish_time": now,
        }  # fmt: skip
        if attributes:
            message["attributes"] = dict(attributes)
        if ordering_key:
            message["orderingKey"] = ordering_key
        status = post_push(self._endpoint, subscription, message, self._scope.project)
        self._settle_if_virtual()
        return status

    def publish(
        self,
        topic: str,
        data: bytes | str = b"",
        *,
        attributes: Mapping[str, str] | None = None,
        ordering_key: str = "",
    ) -> str:
        """Publishes to a topic of the Pub/Sub emulator (``PUBSUB_EMULATOR_HOST``, or ``emulator``
        of :func:`start`); returns the id of the message. ``topic`` is a name or
        ``projects/P/topics/T``. Raises RunnerFault where there is no emulator."""
        if not self._emulator:
            raise RunnerFault(
                "There is no Pub/Sub emulator to publish to.",
                hint="Start one, and set PUBSUB_EMULATOR_HOST.",
            )
        raw = data.encode() if isinstance(data, str) else data
        full = topic if "/" in topic else f"projects/{self._scope.project}/topics/{topic}"
        return publish(self._emulator, full, raw, dict(attributes or {}), ordering_key)

    def sink(self, answers: Answers = 200) -> Sink:
        """A receiver for calls, until the runner stops."""
        sink = Sink(answers)
        self._sinks.append(sink)
        return sink

    # ------------------------------------------------------------ time

    def now(self) -> datetime:
        """What time it is for what is planned."""
        if not self.virtual:
            return datetime.now(UTC)
        found = instant(RemoteClock(self._endpoint).show()["now"])
        assert found is not None
        return found

    def advance(
        self,
        by: str | float | timedelta | None = None,
        *,
        until: str | datetime | None = None,
        patience: float = PATIENCE,
    ) -> int:
        """Moves the virtual clock by a duration (``"3d"``, seconds, a timedelta) or to a time; all
        that is due on the way has happened and settled when it returns. Returns at how many
        instants it stopped. Raises NotSettled when something has not ended within ``patience``
        seconds of real time."""
        if (by is None) == (until is None):
            raise TypeError("advance() takes a duration or until=TIME")
        wanted = {"by": _duration(by)} if by is not None else {"until": instant_text(until)}
        found = RemoteClock(self._endpoint).advance(wanted, patience)
        if not found["arrived"]:
            raise NotSettled(f"the clock stands at {found['now']}: {'; '.join(found['doing'])}")
        return int(found["instants"])

    def settle(self, patience: float = PATIENCE) -> None:
        """Waits until nothing more happens without the (virtual) clock. Raises NotSettled."""
        self.advance("0s", patience=patience)

    def _settle_if_virtual(self) -> None:
        if self.virtual:
            self.settle()

    # ------------------------------------------------------------ the server

    def said(self) -> str:
        """What the server wrote on standard error."""
        return self._process.said()

    def stop(self) -> None:
        """Nothing that it started goes on."""
        try:
            self._end_runs()
        finally:
            self._remote.wire.close()
            self._process.stop()
            for sink in self._sinks:
                sink.close()

    def _end_runs(self) -> None:
        """A server that goes down leaves its tasks running, for the next one; here is none."""
        if not self._process.alive():
            return
        executions = self._remote.service.executions
        with contextlib.suppress(JobrunnerError):
            live = [
                one
                for one in executions.list(self._scope, page=Page(MOST))
                if one.state not in SETTLED_EXECUTIONS and one.backend != "scripted"
            ]
            for one in live:
                executions.cancel(self._scope, one.name)
            for one in live:
                self._remote.wait(one, timeout=15.0)


def _as_file(one: str | os.PathLike[str] | Mapping[str, Any], folder: str, number: int) -> str:
    if not isinstance(one, Mapping):
        return os.fspath(one)
    import yaml

    path = os.path.join(folder, f"document-{number}.yaml")
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(dict(one), file)
    return path


def _duration(by: str | float | timedelta) -> str:
    if isinstance(by, str):
        return by
    seconds = by.total_seconds() if isinstance(by, timedelta) else float(by)
    return f"{seconds:.6f}s"


def instant_text(at: str | datetime | None) -> str:
    if not isinstance(at, datetime):
        return str(at)
    if at.tzinfo is None:
        raise ValueError(f"the time {at} has no zone")
    return format_time(at.timestamp())
