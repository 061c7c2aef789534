"""Messages that a server pulls from the emulator, and the service that they end up at."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from jobrunner.lib.database import connect
from tests.support.pubsub import PROJECT
from tests.support.waiting import PATIENCE, until
from triggers.core.records import HttpTarget
from triggers.core.subscriptions import Intake, Subscription
from triggers.store import open_declared

Answer = Callable[[str, int], int]
"""By the data of a message and how often it has come: a status."""


@dataclass
class Sink:
    """Takes wrapped pushes at any path. ``taken`` are the data of those answered with 200, by path
    and in their order; ``came`` counts all of them by data."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    taken: dict[str, list[str]] = field(default_factory=dict)
    came: Counter[str] = field(default_factory=Counter)
    envelopes: dict[str, Any] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, path: str) -> list[str]:
        return self.taken.get(f"/{path}", [])


@contextmanager
def a_sink() -> Iterator[Sink]:
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            envelope = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = base64.b64decode(envelope["message"].get("data", "")).decode()
            with sink.lock:
                sink.came[data] += 1
                count = sink.came[data]
                sink.envelopes[data] = envelope
            status = sink.answers.get(self.path, lambda data, count: 200)(data, count)
            if status == 200:
                with sink.lock:
                    sink.taken.setdefault(self.path, []).append(data)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A caller that was killed is no error."""

    server = Server(("127.0.0.1", 0), Handler)
    sink.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()


class Pulls:
    """Subscriptions of the home that a server runs on, declared behind its back."""

    def __init__(self, home: Path, sink: Sink) -> None:
        self._database = connect(f"sqlite:///{home}/jobrunner.db")
        self.store = open_declared(self._database).subscriptions
        self._sink = sink

    def close(self) -> None:
        self._database.close()

    def subscribe(self, name: str, **fields: Any) -> Subscription:
        """To the topic of that name, delivered to the path of that name."""
        values: dict[str, Any] = {
            "uid": f"uid-of-{name}",
            "project": PROJECT,
            "region": "us-central1",
            "name": name,
            "target": HttpTarget(f"{self._sink.url}/{name}"),
            "topic": topic(name),
            "intake": Intake.PULL,
        }
        made = Subscription(**(values | fields))
        self.store.create(made)
        return made

    def change(self, uid: str, **fields: Any) -> None:
        old = self.store.get(uid)
        version = old.resource_version
        self.store.put(replace(old, resource_version=version + 1, **fields), version=version)


def topic(name: str) -> str:
    return f"projects/{PROJECT}/topics/{name}"


class Publisher:
    """google-cloud-pubsub as anybody uses it, with ordering keys."""

    def __init__(self, host: str) -> None:
        import grpc
        from google.cloud import pubsub_v1
        from google.cloud.pubsub_v1.types import PublisherOptions
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        channel = grpc.insecure_channel(host, [("grpc.max_reconnect_backoff_ms", 500)])
        self.subscriber = pubsub_v1.SubscriberClient(
            transport=SubscriberGrpcTransport(channel=channel)
        )
        self.client = pubsub_v1.PublisherClient(
            publisher_options=PublisherOptions(enable_message_ordering=True),
            transport=PublisherGrpcTransport(channel=channel),
        )

    def send(
        self,
        name: str,
        several: Sequence[str],
        *,
        key: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Returns the ids. Waits for a topic that is still to be made."""
        until(lambda: self.is_there(name))
        futures = [
            self.client.publish(topic(name), one.encode(), ordering_key=key, **(attributes or {}))
            for one in several
        ]
        return [future.result(PATIENCE) for future in futures]

    def is_there(self, name: str) -> bool:
        """The topic, and something that keeps its messages."""
        from google.api_core.exceptions import GoogleAPICallError

        try:
            return bool(list(self.client.list_topic_subscriptions(topic=topic(name), timeout=5)))
        except GoogleAPICallError:
            return False
