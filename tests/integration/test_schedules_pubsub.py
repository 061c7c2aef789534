"""Schedules that publish, the whole way: command line, server, Google's emulator and client."""

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobrunner.lib.database import connect
from tests.integration.test_deliver import PATH
from tests.support.commands import jobrunner
from tests.support.components import require
from tests.support.pubsub import PubsubEmulator, pubsub_emulator
from tests.support.schedules import WHERE
from tests.support.served import Served, served
from tests.support.waiting import until
from triggers.ports import Armed, ScheduleStore
from triggers.store import open_schedules

YEARLY = ("--schedule", "0 0 1 1 *")
DAYS = 3 * 86_400.0
DATA = 'grüße\n"\t{}\u2028'


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PubsubEmulator]:
    require("pubsub")
    with pubsub_emulator(tmp_path_factory.mktemp("pubsub")) as one:
        yield one


@pytest.fixture
def server(home: Path, emulator: PubsubEmulator) -> Iterator[Served]:
    with served(home, env={"PUBSUB_EMULATOR_HOST": emulator.host}) as one:
        yield one


def ok(*words: str) -> str:
    run = jobrunner("schedules", *words)
    assert run.returncode == 0, run.stderr
    return run.stdout


def states(store: ScheduleStore, armed: Armed) -> list[str]:
    return [row.state.value for row in store.history(armed.schedule.uid)]


def only(server: Served) -> Any:
    """The one delivery that there is, with its attempts."""
    (found,) = server.call("GET", PATH)["deliveries"]
    return server.call("GET", f"{PATH}/{found['uid']}")


def test_a_run_by_hand_publishes_exactly_what_was_given(
    server: Served, emulator: PubsubEmulator
) -> None:
    emulator.topic("by-hand")
    words = ("--topic", "by-hand", "--message-body", DATA, "--attributes", "kind=nightly,empty=")
    ok("create", "pubsub", "hand", *YEARLY, *words)
    ok("run", "hand")
    (message,) = emulator.pull("by-hand")
    assert message.data == DATA.encode()
    assert dict(message.attributes) == {"kind": "nightly", "empty": ""}
    assert message.ordering_key == ""
    until(lambda: only(server)["state"] == "DELIVERED")
    (attempt,) = only(server)["attemptLog"]
    assert (attempt["status"], attempt["answer"]) == (200, message.message_id)


def test_the_clock_publishes_once_for_each_occurrence(home: Path, emulator: PubsubEmulator) -> None:
    """A server that was down for some days is as due as one that waited for them."""
    emulator.topic("by-clock")
    words = ("--topic", "by-clock", "--message-body", "tick")
    # Far from now, so that it comes but once while this runs.
    hour = (time.gmtime().tm_hour + 12) % 24
    ok("create", "pubsub", "daily", "--schedule", f"0 {hour} * * *", *words)
    database = connect(f"sqlite:///{home}/jobrunner.db")
    store = open_schedules(database)
    armed = store.find(WHERE, "daily")
    assert armed is not None
    assert armed.next_at is not None
    earlier = replace(armed.schedule, armed_from=armed.schedule.armed_from - DAYS)
    store.put(Armed(earlier, armed.last - DAYS, armed.next_at - DAYS))
    with served(home, env={"PUBSUB_EMULATOR_HOST": emulator.host}) as server:
        (message,) = emulator.pull("by-clock")
        assert (message.data, dict(message.attributes)) == (b"tick", {})
        until(lambda: states(store, armed) == ["CLOSED", "MISSED", "MISSED"])
        assert only(server)["state"] == "DELIVERED"
    database.close()


def test_a_topic_that_is_not_there_is_a_failed_attempt_that_says_so(server: Served) -> None:
    ok("create", "pubsub", "lost", *YEARLY, "--topic", "nowhere", "--message-body", "x")
    ok("run", "lost")
    until(lambda: only(server)["state"] == "DEAD", why=lambda: only(server))
    found = only(server)
    (attempt,) = found["attemptLog"]
    assert attempt["status"] == 404
    assert "Topic not found" in attempt["answer"]
    assert "404" in found["reason"]
    place = "/v1/projects/local/locations/us-central1/jobs/lost"
    until(lambda: "status" in server.call("GET", place))
    assert server.call("GET", place)["status"]["code"] == 5
    assert "lost" in ok("list")
    assert json.loads(ok("describe", "lost", "--format", "json"))


def test_an_emulator_that_is_away_is_waited_for_and_gets_the_message_once(
    server: Served, emulator: PubsubEmulator
) -> None:
    retry = ("--max-retry-attempts", "5", "--min-backoff", "1s", "--max-backoff", "2s")
    ok("create", "pubsub", "away", *YEARLY, "--topic", "away", "--message-body", "x", *retry)
    emulator.stop()
    try:
        ok("run", "away")
        until(lambda: only(server)["attempts"] >= 1, why=lambda: only(server))
        waiting = only(server)
        assert waiting["state"] in ("PENDING", "SENDING")
        assert "status" not in waiting["attemptLog"][0]
        assert emulator.host in waiting["attemptLog"][0]["error"]
        # The emulator forgets: what is published before the subscription is there again is lost.
        server.process.send_signal(signal.SIGSTOP)
    finally:
        emulator.start()
    emulator.topic("away")
    server.process.send_signal(signal.SIGCONT)
    until(lambda: only(server)["state"] == "DELIVERED", why=lambda: only(server))
    found = only(server)
    rulings = [one["ruling"] for one in found["attemptLog"]]
    assert rulings == ["retry"] * (len(rulings) - 1) + ["accept"]
    assert len(emulator.pull("away")) == 1
    assert emulator.pull("away", patience=1.0) == []
