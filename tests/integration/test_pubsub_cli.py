"""``jobrunner pubsub``: the emulator is looked after, and topics and messages get to it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import document, jobrunner, line_of, started
from tests.support.components import require
from tests.support.fixtures import free_port
from tests.support.pubsub import PROJECT
from tests.support.pulling import Publisher
from tests.support.served import served
from tests.support.waiting import until


class Emulator:
    """``jobrunner pubsub emulator`` while it runs."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port
        self.host = f"127.0.0.1:{port}"

    def java(self) -> list[int]:
        """The programs that have its port in their command lines, other than ours."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (
                    (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                )
            except OSError:
                continue
            if f"--port={self.port}".encode() in words:
                found.append(int(entry.name))
        return found


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    require("pubsub")
    port = free_port()
    with started("pubsub", "emulator", "--port", str(port), start_new_session=True) as process:
        assert line_of(process) == f"export PUBSUB_EMULATOR_HOST=127.0.0.1:{port}"
        one = Emulator(process, port)
        yield one
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert process.returncode == 0
        assert one.java() == []


def run(emulator: Emulator, *words: str, **more: Any) -> str:
    env = {**os.environ, "PUBSUB_EMULATOR_HOST": emulator.host}
    done = jobrunner("pubsub", *words, env=env, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_topics_are_made_listed_and_deleted(home: Path, emulator: Emulator) -> None:
    run(emulator, "topics", "create", "orders", f"projects/{PROJECT}/topics/refunds")
    assert re.findall("orders|refunds", run(emulator, "topics", "list", "--format", "json"))
    run(emulator, "topics", "delete", "refunds", "--quiet")
    listed = run(emulator, "topics", "list")
    assert "orders" in listed
    assert "refunds" not in listed


def test_a_message_is_published_as_it_was_given(home: Path, emulator: Emulator) -> None:
    run(emulator, "topics", "create", "given")
    client = Publisher(emulator.host).subscriber
    path = f"projects/{PROJECT}/subscriptions/given"
    client.create_subscription(name=path, topic=f"projects/{PROJECT}/topics/given")
    words = ("--attribute", "kind=new,n=1", "--ordering-key", "k")
    printed = run(emulator, "publish", "given", "--message", "grüße", *words)
    (received,) = client.pull(subscription=path, max_messages=10).received_messages
    message = received.message
    assert printed == f"{message.message_id}\n"
    assert message.data == "grüße".encode()
    assert dict(message.attributes) == {"kind": "new", "n": "1"}
    assert message.ordering_key == "k"


def test_without_an_emulator_of_its_own_a_command_asks_that_of_the_server(
    home: Path, emulator: Emulator
) -> None:
    with served(home, env={"PUBSUB_EMULATOR_HOST": emulator.host}):
        done = jobrunner("pubsub", "topics", "create", "by-server")
        assert done.returncode == 0, done.stderr
        names = [one["name"] for one in document("pubsub", "topics", "list")]
    assert f"projects/{PROJECT}/topics/by-server" in names


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("topics", "create", "a/b"), 2, "is not a topic"),
        (("topics", "delete", "nowhere", "--quiet"), 3, "There is no topic 'nowhere'"),
        (("publish", "orders"), 2, "A message has data or attributes"),
        (("publish", "orders", "--message", "x", "--attribute", "k"), 2, "--attribute"),
        (("publish", "nowhere", "--message", "x"), 3, "jobrunner pubsub topics create nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    home: Path, emulator: Emulator, words: tuple[str, ...], code: int, said: str
) -> None:
    env = {**os.environ, "PUBSUB_EMULATOR_HOST": emulator.host}
    done = jobrunner("pubsub", *words, env=env)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_sent_where_no_emulator_is_known(home: Path) -> None:
    env = {name: text for name, text in os.environ.items() if name != "PUBSUB_EMULATOR_HOST"}
    done = jobrunner("pubsub", "publish", "orders", "--message", "x", env=env)
    assert done.returncode == 4
    assert "jobrunner pubsub emulator" in done.stderr


def test_an_emulator_that_is_not_installed_is_told_how_to_get(home: Path, tmp_path: Path) -> None:
    done = jobrunner("pubsub", "emulator", env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == 4
    assert "gcloud components install pubsub-emulator" in done.stderr


def test_a_port_that_is_taken_is_refused(home: Path, emulator: Emulator) -> None:
    done = jobrunner("pubsub", "emulator", "--port", str(emulator.port))
    assert done.returncode == 4
    assert str(emulator.port) in done.stderr


def test_an_emulator_that_dies_is_started_again(home: Path, emulator: Emulator) -> None:
    before = until(emulator.java)
    for pid in before:
        # One may end with another.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: set(emulator.java()) - set(before))

    def answers() -> bool:
        env = {**os.environ, "PUBSUB_EMULATOR_HOST": emulator.host}
        return jobrunner("pubsub", "topics", "list", env=env).returncode == 0

    until(answers)
    assert emulator.process.poll() is None
