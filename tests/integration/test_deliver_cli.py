"""``jobrunner deliveries`` as people type it, with a server and without one."""

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import PROGRAM
from tests.support.fixtures import free_port
from tests.support.receiver import receiving
from tests.support.served import served
from tests.support.waiting import PATIENCE, until


def run(*words: str, code: int = 0, stdin: bytes = b"") -> str:
    done = subprocess.run([*PROGRAM, "deliveries", *words], input=stdin, capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == code, f"{done.returncode}: {said}"
    assert "Traceback" not in said
    return done.stdout.decode() + said


def listed(*words: str) -> list[dict[str, object]]:
    found = json.loads(run("list", "--format", "json", *words))
    assert isinstance(found, list)
    return found


def states() -> list[object]:
    return [one["state"] for one in listed()]


def test_what_is_opened_without_a_server_waits_and_is_sent_when_one_runs(home: Path) -> None:
    with receiving() as receiver:
        said = run("send", f"{receiver.url}/a", "--data-file", "-", "--key", "k", stdin=b"\x00hi")
        assert "It waits for a server" in said
        assert run("send", f"{receiver.url}/a", "--key", "k").split()[0] == said.split()[0]
        assert states() == ["PENDING"]
        with served(home):
            until(lambda: states() == ["DELIVERED"])
        assert receiver.bodies["/a"] == b"\x00hi"
        assert receiver.began["/a"] == 1
        described = run("describe", said.split()[0])
        assert "Reason:    HTTP 200" in described
        assert "said" in described


def test_dead_letters_are_listed_replayed_and_purged_through_the_server(home: Path) -> None:
    with receiving() as receiver, served(home) as server:
        receiver.answer = lambda path, count: 400 if count == 1 else 200
        once = ("--max-retry-attempts", "0")
        uid = run("send", f"{receiver.url}/b", "--header", "X-A: b", *once).split()[0]
        until(lambda: states() == ["DEAD"])
        assert receiver.headers["/b"]["X-A"] == "b"
        assert receiver.headers["/b"]["User-Agent"].startswith("jobrunner/")
        assert not [name for name in receiver.headers["/b"] if "Cloud" in name]
        assert [one["uid"] for one in listed("--source", "manual")] == [uid]
        assert "HTTP 400; no retries" in run("list", "--state", "dead")
        described = run("describe", uid)
        assert "given up  said" in described
        assert f"jobrunner deliveries replay {uid}" in described
        assert "Would replay 1 dead letter;" in run("replay", "--state", "dead", "--dry-run")
        assert uid in run("replay", uid)
        until(lambda: states() == ["DELIVERED", "DEAD"])
        assert "replayed already" in run("replay", uid, code=4)
        assert "Replayed 0 dead letters; 1 had been replayed before." in run(
            "replay", "--state", "dead"
        )
        counted = json.loads(run("count", "--format", "json"))
        assert counted == {"counts": {"DELIVERED": 1, "DEAD": 1}, "total": 2}
        assert "Would remove 1 delivery." in run("purge", "--dry-run")
        assert "Removed 1 delivery." in run("purge", "--quiet")
        waiting = run("send", f"{receiver.url}/c", "--delay", "1h").split()[0]
        assert "Withdrew" in run("cancel", waiting)
        assert "has settled" in run("cancel", waiting, code=4)
        assert "no delivery 'x'" in run("describe", "x", code=3)
        assert "httpTarget.uri" in run("send", "ftp://x", code=2)
        assert "Traceback" not in server.said()


@pytest.mark.usefixtures("way")
def test_one_that_cannot_be_read_is_one_line_among_the_others(home: Path) -> None:
    delayed = ("--delay", "1h")
    good = run("send", "http://127.0.0.1:9/", *delayed).split()[0]
    bad = run("send", "http://127.0.0.1:9/", *delayed).split()[0]
    with contextlib.closing(sqlite3.connect(home / "jobrunner.db")) as database, database:
        database.execute("UPDATE deliveries SET target = '{' WHERE uid = ?", (bad,))
    lines = run("list").splitlines()
    assert [line.split()[0] for line in lines[1:]] == [bad, good]
    assert "cannot be read" in lines[1]
    assert "cannot be read" in run("describe", bad, code=5)


def test_a_command_line_that_cannot_be_meant_is_refused(home: Path) -> None:
    assert "Name a URL" in run("send", code=2)
    assert "--data does not go" in run("send", "--job", "x", "--data", "y", code=2)
    assert "with --job only" in run("send", "http://x", "--acknowledge", "start", code=2)
    assert "exclude each other" in run(
        "send", "http://x", "--data", "a", "--data-file", "-", code=2
    )
    assert "NAME: VALUE" in run("send", "http://x", "--header", "y", code=2)
    assert "give a filter" in run("replay", code=2)
    assert "not both" in run("replay", "x", "--state", "dead", code=2)
    assert "PENDING has not settled" in run("purge", "--state", "pending", code=2)


def test_a_server_whose_bounds_cannot_be_read_does_not_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBRUNNER_DELIVERIES", "many")
    words = [*PROGRAM, "serve", "--port", str(free_port())]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: JOBRUNNER_DELIVERIES: 'many' is not a whole number")
    assert "Traceback" not in done.stderr
