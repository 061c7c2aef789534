"""Queues through a real server to a real receiver, and from the command line."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobrunner.core.records import Scope
from jobrunner.lib.database import connect
from tests.support.commands import jobrunner
from tests.support.receiver import Receiver, receiving
from tests.support.served import Answered, Served, served
from tests.support.waiting import until
from triggers.core.queues import task_key
from triggers.core.records import Delivery, HttpTarget, QueueRetry, SourceKind
from triggers.store import open_deliveries, open_queues

PATH = "/jobrunner/v1/queues"
AGAIN = {"maxAttempts": 20, "minBackoff": "0.05s", "maxBackoff": "0.05s"}
ANSWERS = (503, 404, 429, 500, 302, 200)
TABLE = [
    ("0", "0", None),
    ("1", "0", "503"),
    ("2", "1", "404"),
    ("3", "2", "429"),
    ("4", "2", "500"),
    ("5", "3", "302"),
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def make(server: Served, name: str, **spec: Any) -> None:
    server.call("POST", PATH, {"name": name, **spec})


def add(server: Served, queue: str, url: str, **fields: Any) -> str:
    http = {"uri": url, **fields.pop("http", {})}
    answer = server.call("POST", f"{PATH}/{queue}/items", {"httpTarget": http, **fields})
    name: str = answer["name"]
    return name


def items(server: Served, queue: str) -> int:
    count: int = server.call("GET", f"{PATH}/{queue}")["items"]
    return count


def counters(headers: dict[str, str]) -> tuple[str, str, str | None]:
    return (
        headers["X-CloudTasks-TaskRetryCount"],
        headers["X-CloudTasks-TaskExecutionCount"],
        headers.get("X-CloudTasks-TaskPreviousResponse"),
    )


def test_attempts_bear_the_counters_of_the_contract(home: Path, receiver: Receiver) -> None:
    seen: list[dict[str, str]] = []

    def answer(path: str, count: int) -> int:
        seen.append(dict(receiver.headers[path]))
        return ANSWERS[count - 1]

    receiver.answer = answer
    with served(home) as server:
        make(server, "mail", retryConfig=AGAIN)
        add(server, "mail", f"{receiver.url}/table", name="seven")
        until(lambda: items(server, "mail") == 0 and len(seen) == 6, why=lambda: seen)
        with pytest.raises(Answered, match="Item 'seven' of queue 'mail' no longer exists") as gone:
            server.call("GET", f"{PATH}/mail/items/seven")
        assert gone.value.code == 404
    assert [counters(headers) for headers in seen] == TABLE
    for number, headers in enumerate(seen):
        assert headers["User-Agent"] == "Google-Cloud-Tasks"
        assert headers["X-CloudTasks-QueueName"] == "mail"
        assert headers["X-CloudTasks-TaskName"] == "seven"
        assert re.fullmatch(r"\d{10}(\.\d{1,6})?", headers["X-CloudTasks-TaskETA"])
        assert headers.get("X-CloudTasks-TaskRetryReason") == ("" if number else None)
        assert "Content-Type" not in headers


def test_a_missed_deadline_shows_as_504_and_counts_as_no_response(
    home: Path, receiver: Receiver
) -> None:
    seen: list[dict[str, str]] = []

    def answer(path: str, count: int) -> int:
        seen.append(dict(receiver.headers[path]))
        if count == 1:
            until(lambda: receiver.began[path] > 1)
        return 200

    receiver.answer = answer
    with served(home) as server:
        make(server, "mail", retryConfig=AGAIN)
        # The shortest deadline that the API takes is 15 s: this one comes by the back door.
        database = connect(f"sqlite:///{home}/jobrunner.db")
        queue = open_queues(database).find(Scope("local", "us-central1"), "mail")
        assert queue is not None
        store = open_deliveries(database)
        store.open(
            Delivery(
                uid="late",
                project="local",
                region="us-central1",
                source=SourceKind.QUEUE,
                source_name="mail",
                key=task_key(queue, "late"),
                target=HttpTarget(f"{receiver.url}/late", deadline=0.5),
                retry=QueueRetry(min_backoff=0.05),
                created_at=time.time(),
                queued_at=time.time(),
                not_before=time.time(),
            )
        )
        database.close()
        until(lambda: items(server, "mail") == 0, why=lambda: seen)
    # A machine that is busy may miss the deadline of another one, too.
    numbers = [int(headers["X-CloudTasks-TaskRetryCount"]) for headers in seen]
    assert max(numbers) >= 1
    assert [counters(headers) for headers in seen] == [
        (str(number), "0", "504" if number else None) for number in numbers
    ]


def test_a_task_that_is_used_up_is_gone_for_its_queue_and_stays_as_a_dead_letter(
    home: Path, receiver: Receiver
) -> None:
    receiver.answer = lambda path, count: 500
    with served(home) as server:
        make(server, "mail", retryConfig={**AGAIN, "maxAttempts": 2})
        add(server, "mail", f"{receiver.url}/no", name="n")
        until(lambda: items(server, "mail") == 0)
        with pytest.raises(Answered, match="no longer exists"):
            server.call("GET", f"{PATH}/mail/items/n")
        (letter,) = server.call("GET", "/jobrunner/v1/deliveries?state=dead")["deliveries"]
        assert (letter["source"], letter["sourceName"], letter["attempts"]) == ("queue", "mail", 2)
        receiver.answer = lambda path, count: 200
        done = server.call("POST", "/jobrunner/v1/deliveries:replay", {})
        assert len(done["replayed"]) == 1
        until(lambda: receiver.began["/no"] == 3)
        assert receiver.headers["/no"]["X-CloudTasks-TaskName"] == done["replayed"][0]["uid"]


def test_a_paused_queue_sends_what_is_run_by_hand_once_and_the_rest_when_it_is_resumed(
    home: Path, receiver: Receiver
) -> None:
    with served(home) as server:
        make(server, "mail")
        server.call("POST", f"{PATH}/mail:pause", {})
        for path in ("a", "b"):
            add(server, "mail", f"{receiver.url}/{path}", name=path, delay="3600s")
        add(server, "mail", f"{receiver.url}/c")
        server.call("POST", f"{PATH}/mail/items/a:run", {})
        until(lambda: items(server, "mail") == 2)
        assert dict(receiver.began) == {"/a": 1}
        server.call("POST", f"{PATH}/mail:resume", {})
        until(lambda: items(server, "mail") == 1)
        assert dict(receiver.began) == {"/a": 1, "/c": 1}
        server.call("POST", f"{PATH}/mail:purge", {})
        assert items(server, "mail") == 0


def test_a_queue_speaks_for_its_tasks_when_they_are_sent(home: Path, receiver: Receiver) -> None:
    with served(home) as server:
        port = int(receiver.url.rpartition(":")[2])
        make(
            server,
            "mail",
            httpTarget={
                "uriOverride": {"host": "127.0.0.1", "port": port, "path": "/all"},
                "headers": {"X-Mine": "queue"},
            },
        )
        headers = {"X-Mine": "task", "X-Other": "task"}
        add(server, "mail", "http://nowhere.invalid/x", http={"headers": headers})
        until(lambda: receiver.done["/all"] == 1)
        assert receiver.headers["/all"]["X-Mine"] == "queue"
        assert receiver.headers["/all"]["X-Other"] == "task"


def test_a_rate_of_five_a_second_is_held(home: Path, receiver: Receiver) -> None:
    instants: list[float] = []

    def answer(path: str, count: int) -> int:
        instants.append(time.monotonic())
        return 200

    receiver.answer = answer
    with served(home) as server:
        make(server, "mail", rateLimits={"maxDispatchesPerSecond": 5, "maxBurstSize": 1})
        server.call("POST", f"{PATH}/mail:pause", {})
        for number in range(11):
            add(server, "mail", f"{receiver.url}/{number}")
        began = time.monotonic()
        server.call("POST", f"{PATH}/mail:resume", {})
        until(lambda: len(instants) == 11)
    lasted = instants[-1] - began
    # Ten gaps of 200 ms; a machine that is busy may be late with each of them, never early with
    # all. The first one is no beginning: it may come late, and the others not.
    assert 1.9 < lasted < 10, lasted


def test_jobs_of_a_queue_run_one_after_another(home: Path) -> None:
    script = 'mkdir "$LOCK" && sleep 0.3 && rmdir "$LOCK"'
    with served(home, "--backend", "process") as server:
        server.create("report", script, env={"LOCK": str(home / "lock")})
        make(server, "one", rateLimits={"maxConcurrentDispatches": 1}, retryConfig=AGAIN)
        for _ in range(3):
            job = {"job": "report", "acknowledge": "success"}
            server.call("POST", f"{PATH}/one/items", {"jobTarget": job})
        until(lambda: items(server, "one") == 0)
        counts = server.call("GET", "/jobrunner/v1/deliveries:count")["counts"]
        assert counts == {"DELIVERED": 3}
        listed = server.call(
            "GET", "/v2/projects/local/locations/us-central1/jobs/report/executions"
        )
        assert len(listed["executions"]) == 3, "none was tried again"


# ---------------------------------------------------------------- the command line


def run(*words: str) -> str:
    done = jobrunner("queues", *words)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def test_the_command_line_reaches_the_queues_of_another_home(
    home: Path, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(home) as server:
        monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path / "elsewhere"))
        monkeypatch.setenv("JOBRUNNER_ENDPOINT", f"http://127.0.0.1:{server.port}")
        run("create", "mail")
        run("add", "mail", "--url", f"{receiver.url}/there", "--message-body", "hello")
        until(lambda: receiver.done["/there"] == 1)
        assert receiver.bodies["/there"] == b"hello"
        run("pause", "mail")
        assert run("add", "mail", "--url", f"{receiver.url}/x", "--name", "x") == "x\n"
        (item,) = json.loads(run("items", "list", "mail", "--format", "json"))
        assert (item["name"], item["state"]) == ("x", "PENDING")
