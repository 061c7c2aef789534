"""A real ``jobrunner serve`` and calls to it, without any client library."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.commands import PROGRAM
from tests.support.fixtures import free_port
from tests.support.waiting import PATIENCE, until

PLACE = "/v2/projects/local/locations/us-central1"


class Answered(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, body: str) -> None:
        super().__init__(f"{code}: {body[:500]}")
        self.code = code


@dataclass
class Served:
    process: subprocess.Popen[bytes]
    port: int
    home: Path
    log: Path

    def call(
        self, verb: str, path: str, body: Any = None, *, timeout: float = PATIENCE, host: str = ""
    ) -> Any:
        """Raises Answered, or OSError where nobody answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=verb,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"} | ({"Host": host} if host else {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                raise Answered(error.code, error.read().decode(errors="replace")) from None
        except http.client.HTTPException as error:
            raise ConnectionError(f"the answer broke off: {error!r}") from error

    def create(self, name: str, script: str, **template: Any) -> Any:
        container = {"image": "example.com/unused", "command": ["sh", "-c", script]}
        image = template.pop("image", None)
        env = template.pop("env", {})
        if image is not None:
            container["image"] = image
        container["env"] = [{"name": k, "value": v} for k, v in env.items()]  # type: ignore[assignment]
        count = template.pop("tasks", 1)
        annotations = template.pop("annotations", {})
        body = {
            "template": {
                "taskCount": count,
                "annotations": annotations,
                "template": {"containers": [container], "maxRetries": 0, **template},
            }
        }
        return self.call("POST", f"{PLACE}/jobs?jobId={name}", body)

    def run(self, job: str) -> str:
        """The execution's name, short."""
        operation = self.call("POST", f"{PLACE}/jobs/{job}:run", {})
        name: str = operation["metadata"]["name"]
        return name.rsplit("/", 1)[-1]

    def execution(self, job: str, name: str) -> Any:
        return self.call("GET", f"{PLACE}/jobs/{job}/executions/{name}")

    def executions(self, job: str) -> list[Any]:
        found: list[Any] = []
        token = ""
        while True:
            page = self.call("GET", f"{PLACE}/jobs/{job}/executions?pageSize=100&pageToken={token}")
            found += page.get("executions", [])
            token = page.get("nextPageToken", "")
            if not token:
                return found

    def ended(self, job: str, name: str, patience: float = PATIENCE) -> Any:
        def over() -> Any:
            seen = self.execution(job, name)
            return seen if "completionTime" in seen else None

        return until(over, patience, lambda: self.execution(job, name))

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Seconds until it has ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        return time.monotonic() - began

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def start(
    home: Path, *options: str, port: int | None = None, env: dict[str, str] | None = None
) -> Served:
    """A server that has begun to start; see :func:`answering`."""
    chosen = port or free_port()
    log = home.parent / f"{home.name}-serve.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", str(chosen), *options],
            env={**os.environ, "JOBRUNNER_HOME": str(home), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    return Served(process, chosen, home, log)


def answering(server: Served) -> bool:
    """Waits until it answers; false if it has ended before."""
    deadline = time.monotonic() + PATIENCE
    while server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=60):
                return True
        except OSError:
            assert time.monotonic() < deadline, server.said()
            time.sleep(0.02)
    return False


@contextmanager
def served(
    home: Path, *options: str, port: int | None = None, env: dict[str, str] | None = None
) -> Iterator[Served]:
    """One server that answers, killed at the end."""
    server = start(home, *options, port=port, env=env)
    try:
        assert answering(server), server.said()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGCONT)
            server.process.kill()
        server.process.wait()
