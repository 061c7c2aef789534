"""Google's client library drives queues and tasks of a real server, over REST and gRPC.

The calls arrive at a real sink.
"""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2 as tasks
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2

from tests.support.waiting import until
from tests.wire.running import Running, serving

PARENT = "projects/local/locations/us-central1"


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Sink(NamedTuple):
    """Answers as the path says: ``/503-404-x`` with 503, then 404, then 200."""

    url: str
    seen: list[Seen]

    def calls(self, path: str, count: int = 1) -> list[Seen]:
        until(lambda: sum(one.path == path for one in self.seen) >= count)
        return [one for one in self.seen if one.path == path]


class Stage(NamedTuple):
    server: Running
    sink: Sink


@contextmanager
def sinking() -> Iterator[Sink]:
    seen: list[Seen] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            before = sum(one.path == self.path for one in seen)
            seen.append(Seen(self.command, self.path, dict(self.headers), body))
            codes = [int(word) for word in self.path.strip("/").split("-") if word.isdecimal()]
            self.send_response(codes[before] if before < len(codes) else 200)
            self.end_headers()

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, *words: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Sink(f"http://127.0.0.1:{server.server_port}", seen)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("tasks") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBRUNNER_HOME", str(home))
        with sinking() as sink, serving(home, grpc=True) as server:
            yield Stage(server, sink)


@pytest.fixture(params=["rest", "grpc"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def client(stage: Stage, transport: str) -> Iterator[Any]:
    if transport == "grpc":
        over = tasks.CloudTasksClient.get_transport_class("grpc")
        with grpc.insecure_channel(f"127.0.0.1:{stage.server.grpc_port}") as channel:
            yield tasks.CloudTasksClient(transport=over(channel=channel))
        return
    yield tasks.CloudTasksClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": stage.server.url},
    )


@pytest.fixture
def queue(client: Any, transport: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of this test alone."""
    name = f"{PARENT}/queues/{request.function.__name__[:60].replace('_', '-')}-{transport}"
    client.create_queue(parent=PARENT, queue=tasks.Queue(name=name))
    yield name
    client.delete_queue(name=name)


def a_task(stage: Stage, path: str, name: str = "", **more: Any) -> Any:
    request = tasks.HttpRequest(url=f"{stage.sink.url}{path}", **more)
    return tasks.Task(name=name, http_request=request)


def test_a_queue_is_made_changed_listed_and_removed(client: Any, transport: str) -> None:
    name = f"{PARENT}/queues/made-{transport}"
    made = client.create_queue(
        parent=PARENT,
        queue=tasks.Queue(name=name, rate_limits=tasks.RateLimits(max_dispatches_per_second=7)),
    )
    assert (made.name, made.state) == (name, tasks.Queue.State.RUNNING)
    assert made.rate_limits.max_dispatches_per_second == 7
    assert made.rate_limits.max_concurrent_dispatches == 1000
    assert made.retry_config.max_attempts == 100
    assert made.retry_config.min_backoff.microseconds == 100_000
    with pytest.raises(exceptions.Conflict):
        client.create_queue(parent=PARENT, queue=tasks.Queue(name=name))
    changed = client.update_queue(
        queue=tasks.Queue(
            name=name,
            state=tasks.Queue.State.PAUSED,
            retry_config=tasks.RetryConfig(
                max_attempts=3, max_backoff=duration_pb2.Duration(seconds=9)
            ),
        ),
        update_mask=field_mask_pb2.FieldMask(paths=["retry_config.max_attempts", "state"]),
    )
    assert (changed.retry_config.max_attempts, changed.retry_config.max_backoff.seconds) == (
        3,
        3600,
    )
    assert changed.state == tasks.Queue.State.RUNNING
    assert client.pause_queue(name=name).state == tasks.Queue.State.PAUSED
    assert name in [one.name for one in client.list_queues(parent=PARENT)]
    paused = client.list_queues(request={"parent": PARENT, "filter": "state: PAUSED"})
    assert [one.name for one in paused] == [name]
    assert client.resume_queue(name=name).state == tasks.Queue.State.RUNNING
    with pytest.raises(exceptions.BadRequest, match="maxDispatchesPerSecond"):
        client.update_queue(
            queue=tasks.Queue(name=name, rate_limits={"max_dispatches_per_second": 501})
        )
    client.delete_queue(name=name)
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        client.get_queue(name=name)
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        client.delete_queue(name=name)


def test_an_update_makes_a_queue_that_is_not_there(client: Any, transport: str) -> None:
    name = f"{PARENT}/queues/upserted-{transport}"
    made = client.update_queue(
        queue=tasks.Queue(name=name, retry_config=tasks.RetryConfig(max_attempts=-1))
    )
    assert (made.name, made.retry_config.max_attempts) == (name, -1)
    client.delete_queue(name=name)


def test_a_task_reaches_its_target_with_the_headers_of_the_contract(
    stage: Stage, client: Any, queue: str, transport: str
) -> None:
    path = f"/reach-{transport}"
    made = client.create_task(
        parent=queue,
        task=a_task(
            stage,
            path,
            f"{queue}/tasks/one",
            http_method=tasks.HttpMethod.PUT,
            headers={"Content-Type": "application/json", "User-Agent": "me"},
            body=b"\xfb\xff{}",
        ),
        # BASIC is the default.
    )
    assert made.name == f"{queue}/tasks/one"
    assert made.http_request.headers["User-Agent"] == "Google-Cloud-Tasks"
    assert (made.http_request.body, made.dispatch_deadline.seconds) == (b"", 600)
    (seen,) = stage.sink.calls(path)
    assert (seen.method, seen.body) == ("PUT", b"\xfb\xff{}")
    assert seen.headers["User-Agent"] == "Google-Cloud-Tasks"
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["X-CloudTasks-QueueName"] == queue.rpartition("/")[2]
    assert seen.headers["X-CloudTasks-TaskName"] == "one"
    assert seen.headers["X-CloudTasks-TaskRetryCount"] == "0"
    assert seen.headers["X-CloudTasks-TaskExecutionCount"] == "0"
    assert float(seen.headers["X-CloudTasks-TaskETA"]) == pytest.approx(
        made.schedule_time.timestamp(), abs=1e-3
    )

    def gone() -> bool:
        try:
            client.get_task(name=made.name)
        except exceptions.NotFound as error:
            return "a task with this name existed recently" in str(error)
        return False

    until(gone)
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        client.get_task(name=f"{queue}/tasks/never")
    with pytest.raises(exceptions.Conflict):
        client.create_task(parent=queue, task=a_task(stage, path, made.name))


def test_a_failing_task_is_tried_again_and_tells_of_its_attempts(
    stage: Stage, client: Any, queue: str, transport: str
) -> None:
    path = f"/503-404-{transport}"
    made = client.create_task(parent=queue, task=a_task(stage, path))
    assert made.name.rpartition("/")[2].isdecimal()
    first, second, third = stage.sink.calls(path, 3)
    assert "X-CloudTasks-TaskPreviousResponse" not in first.headers
    counts = [
        (
            one.headers["X-CloudTasks-TaskRetryCount"],
            one.headers["X-CloudTasks-TaskExecutionCount"],
            one.headers["X-CloudTasks-TaskPreviousResponse"],
        )
        for one in (second, third)
    ]
    assert counts == [("1", "0", "503"), ("2", "1", "404")]
    client.update_queue(
        queue=tasks.Queue(name=queue, retry_config={"min_backoff": {"seconds": 3000}}),
        update_mask=field_mask_pb2.FieldMask(paths=["retry_config.min_backoff"]),
    )
    path = f"/500-500-{transport}"
    made = client.create_task(parent=queue, task=a_task(stage, path))
    until(lambda: client.get_task(name=made.name).last_attempt.response_status.code == 13)
    shown = client.get_task(name=made.name)
    assert (shown.dispatch_count, shown.response_count) == (1, 1)
    assert shown.last_attempt.response_status.message == "INTERNAL(13): HTTP status code 500"
    assert shown.first_attempt.dispatch_time == shown.last_attempt.dispatch_time
    assert shown.schedule_time.timestamp() > time.time() + 2000
    client.run_task(name=made.name)
    assert len(stage.sink.calls(path, 2)) == 2
    nobody = tasks.Task(http_request={"url": "http://127.0.0.1:9/"})
    made = client.create_task(parent=queue, task=nobody)
    until(lambda: client.get_task(name=made.name).last_attempt.response_status.code == 14)
    shown = client.get_task(name=made.name)
    assert (shown.dispatch_count, shown.response_count) == (1, 0)


def test_a_paused_queue_keeps_its_tasks_and_sends_what_is_run_by_hand(
    stage: Stage, client: Any, queue: str, transport: str
) -> None:
    client.pause_queue(name=queue)
    path = f"/paused-{transport}"
    names = [f"{queue}/tasks/t{number}" for number in range(3)]
    for name in names:
        client.create_task(parent=queue, task=a_task(stage, path, name, body=b"x"))
    pages = client.list_tasks(request={"parent": queue, "page_size": 2}).pages
    assert [[one.name for one in page.tasks] for page in pages] == [names[:2], names[2:]]
    full = client.list_tasks(request={"parent": queue, "response_view": tasks.Task.View.FULL})
    assert [one.http_request.body for one in full] == [b"x"] * 3
    assert [one.http_request.body for one in client.list_tasks(parent=queue)] == [b""] * 3
    client.run_task(name=names[1])
    (seen,) = stage.sink.calls(path)
    assert seen.headers["X-CloudTasks-TaskName"] == "t1"
    client.delete_task(name=names[0])
    until(lambda: [one.name for one in client.list_tasks(parent=queue)] == names[2:])
    assert client.purge_queue(name=queue).purge_time is not None
    assert list(client.list_tasks(parent=queue)) == []
    with pytest.raises(exceptions.NotFound):
        client.run_task(name=names[2])
    assert len(stage.sink.calls(path)) == 1


def test_a_task_waits_for_its_time(stage: Stage, client: Any, queue: str, transport: str) -> None:
    later = timestamp_pb2.Timestamp(seconds=int(time.time()) + 86400, nanos=123456000)
    task = a_task(stage, f"/later-{transport}")
    task.schedule_time = later
    made = client.create_task(parent=queue, task=task)
    assert made.schedule_time.timestamp() == pytest.approx(later.seconds + 0.123456, abs=1e-6)
    later.seconds += 40 * 86400
    task.schedule_time = later
    with pytest.raises(exceptions.BadRequest, match="30 days"):
        client.create_task(parent=queue, task=task)


def test_what_is_wrong_with_a_task_is_said_in_googles_words(
    stage: Stage, client: Any, queue: str
) -> None:
    for url, words in (("", "is required"), ("ftp://x", "must start with 'http://' or 'https://'")):
        with pytest.raises(exceptions.BadRequest, match=words):
            client.create_task(parent=queue, task=tasks.Task(http_request={"url": url}))
    app_engine = tasks.Task(app_engine_http_request={"relative_uri": "/x"})
    with pytest.raises(exceptions.BadRequest, match="App Engine is not supported"):
        client.create_task(parent=queue, task=app_engine)
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        client.create_task(parent=f"{queue}-x", task=a_task(stage, "/x"))


def test_the_policy_of_a_queue_is_kept_with_its_etag(client: Any, queue: str) -> None:
    assert client.get_iam_policy(request={"resource": queue}).etag
    binding = policy_pb2.Binding(role="roles/cloudtasks.enqueuer", members=["user:a@b.c"])
    put = iam_policy_pb2.SetIamPolicyRequest(
        resource=queue, policy=policy_pb2.Policy(bindings=[binding])
    )
    stored = client.set_iam_policy(request=put)
    assert client.get_iam_policy(request={"resource": queue}) == stored
    put.policy.etag = b"\x00\x10\x01"
    with pytest.raises((exceptions.Conflict, exceptions.Aborted)):
        client.set_iam_policy(request=put)
    asked = ["cloudtasks.tasks.create", "cloudtasks.tasks.eat"]
    held = client.test_iam_permissions(request={"resource": queue, "permissions": asked})
    assert list(held.permissions) == asked[:1]


def test_many_tasks_are_made_and_removed_by_one_call(
    stage: Stage, client: Any, queue: str, transport: str
) -> None:
    client.pause_queue(name=queue)
    good = {"task": a_task(stage, f"/batch-{transport}", f"{queue}/tasks/a")}
    bad = {"task": tasks.Task(http_request={"url": "ftp://x"})}
    operation = client.batch_create_tasks(request={"parent": queue, "requests": [good, bad, good]})
    assert [one.name for one in operation.result().tasks] == [f"{queue}/tasks/a"]
    assert operation.metadata.state.name == "PARTIALLY_SUCCEEDED"
    assert {key: one.code for key, one in operation.metadata.failed_requests.items()} == {
        1: 3,
        2: 6,
    }
    names = [f"{queue}/tasks/a", f"{queue}/tasks/b"]
    gone = client.batch_delete_tasks(request={"parent": queue, "names": names})
    gone.result()
    assert {key: one.code for key, one in gone.metadata.failed_requests.items()} == {1: 5}
    assert list(client.list_tasks(parent=queue)) == []


def test_a_queue_with_a_target_of_its_own_overrides_that_of_its_tasks(
    stage: Stage, client: Any, queue: str, transport: str
) -> None:
    port = int(stage.sink.url.rpartition(":")[2])
    target = tasks.HttpTarget(
        uri_override=tasks.UriOverride(
            scheme=tasks.UriOverride.Scheme.HTTP,
            host="127.0.0.1",
            port=port,
            path_override=tasks.PathOverride(path=f"/over-{transport}"),
        ),
        http_method=tasks.HttpMethod.PUT,
        header_overrides=[{"header": {"key": "X-Queue", "value": "yes"}}],
    )
    changed = client.update_queue(
        queue=tasks.Queue(name=queue, http_target=target),
        update_mask=field_mask_pb2.FieldMask(paths=["http_target"]),
    )
    assert changed.http_target.uri_override.port == port
    client.create_task(
        parent=queue, task=tasks.Task(http_request={"url": "https://example.com/x", "body": b"b"})
    )
    (seen,) = stage.sink.calls(f"/over-{transport}")
    assert (seen.method, seen.body, seen.headers["X-Queue"]) == ("PUT", b"b", "yes")


def test_locations_are_there_for_this_client_too(client: Any) -> None:
    listed = client.list_locations({"name": "projects/local"})
    assert [one.location_id for one in listed.locations] == ["us-central1"]


def test_the_url_of_a_job_starts_it_in_process(
    stage: Stage, client: Any, queue: str, transport: str
) -> None:
    import urllib.request

    job = f"{PARENT}/jobs/by-task-{transport}"
    container = {"image": "unused", "command": ["true"]}
    body = {"template": {"template": {"containers": [container]}}}
    made = urllib.request.Request(
        f"{stage.server.url}/v2/{PARENT}/jobs?jobId={job.rpartition('/')[2]}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(made, timeout=60).close()
    url = f"https://us-central1-run.googleapis.com/v2/{job}:run"
    client.create_task(parent=queue, task=tasks.Task(http_request={"url": url}))

    def started() -> bool:
        with urllib.request.urlopen(
            f"{stage.server.url}/v2/{job}/executions", timeout=10
        ) as answer:
            return len(json.load(answer).get("executions", [])) == 1

    until(started)
    until(lambda: not list(client.list_tasks(parent=queue)))
