"""Google's own Pub/Sub emulator, and its client library as publisher and subscriber."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fixtures import free_port
from tests.support.waiting import PATIENCE

PROJECT = "local"


@dataclass
class PubsubEmulator:
    """Can be stopped and started again on the same port; it forgets everything then."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """For ``PUBSUB_EMULATOR_HOST``."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        words = ["gcloud", "beta", "emulators", "pubsub", "start", f"--project={PROJECT}"]
        words += [f"--host-port={self.host}", f"--data-dir={self.folder}", "--quiet"]
        log = self.folder / "emulator.log"
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            said = log.read_text(errors="replace")
            assert self.process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, with the Java program below it."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def topic(self, name: str) -> str:
        """Makes a topic and a subscription of the same name; returns the topic's full name."""
        from google.cloud import pubsub_v1

        topic = f"projects/{PROJECT}/topics/{name}"
        with self._at_home():
            publisher = pubsub_v1.PublisherClient()
            publisher.create_topic(name=topic)
            with pubsub_v1.SubscriberClient() as subscriber:
                subscriber.create_subscription(name=_subscription(name), topic=topic)
            publisher.transport.close()
        return topic

    def pull(self, name: str, patience: float = PATIENCE, *, keep: bool = False) -> list[Any]:
        """The messages that have come, acknowledged; none after ``patience`` seconds without. With
        ``keep`` they are given back instead."""
        from google.api_core.exceptions import DeadlineExceeded
        from google.cloud import pubsub_v1

        with self._at_home(), pubsub_v1.SubscriberClient() as subscriber:
            path = _subscription(name)
            try:
                answer = subscriber.pull(
                    subscription=path, max_messages=100, timeout=patience, retry=None
                )
            except DeadlineExceeded:
                return []
            received = list(answer.received_messages)
            if received:
                ids = [one.ack_id for one in received]
                if keep:
                    subscriber.modify_ack_deadline(
                        subscription=path, ack_ids=ids, ack_deadline_seconds=0
                    )
                else:
                    subscriber.acknowledge(subscription=path, ack_ids=ids)
        return [one.message for one in received]

    @contextlib.contextmanager
    def _at_home(self) -> Iterator[None]:
        before = os.environ.get("PUBSUB_EMULATOR_HOST")
        os.environ["PUBSUB_EMULATOR_HOST"] = self.host
        try:
            yield
        finally:
            if before is None:
                del os.environ["PUBSUB_EMULATOR_HOST"]
            else:
                os.environ["PUBSUB_EMULATOR_HOST"] = before


@contextlib.contextmanager
def pubsub_emulator(folder: Path) -> Iterator[PubsubEmulator]:
    emulator = PubsubEmulator(free_port(), folder)
    try:
        emulator.start()
        yield emulator
    finally:
        emulator.stop()


def _subscription(name: str) -> str:
    return f"projects/{PROJECT}/subscriptions/{name}"
