"""A real server on a virtual clock: the command line, what is refused, and ``kill -9``."""

import json
import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support.commands import jobrunner
from tests.support.receiver import Receiver, receiving
from tests.support.served import Answered, Served, served
from tests.support.serving import serving
from tests.support.waiting import until

START = "2030-01-01T00:00:00Z"
ADVANCE = "/jobrunner/v1/clock:advance"
RUN = "https://us-central1-run.googleapis.com/v2/projects/local/locations/us-central1/jobs"
END = "2030-01-06T00:10:00Z"
DELIVERIES = "/jobrunner/v1/deliveries"
VIRTUAL = ("--clock", "virtual", "--backend", "scripted")


def said(*words: str) -> str:
    run = jobrunner(*words)
    assert run.returncode == 0, run.stderr
    return run.stdout


def refused(*words: str) -> str:
    run = jobrunner(*words)
    assert run.returncode == 4, (run.returncode, run.stderr)
    return run.stderr


@pytest.mark.usefixtures("home")
def test_the_clock_of_a_home_is_shown_moved_and_kept() -> None:
    assert "No server runs on this home" in refused("clock")
    with serving(*VIRTUAL, "--from", START):
        assert said("clock") == "2030-01-01T00:00:00.000000Z\n"
        said("schedules", "create", "http", "nightly", "--schedule", "0 3 * * *",
             "--uri", "http://127.0.0.1:9/x")  # fmt: skip
        assert said("clock", "advance", "1d12h") == "2030-01-02T12:00:00.000000Z (3 instants)\n"
        assert "2030-01-02T03:00:00" in said("schedules", "describe", "nightly", "--format", "json")
        due = said("schedules", "next", "nightly", "--count", "1")
        assert due.startswith("2030-01-03T03:00:00")
        moved = json.loads(
            said("clock", "advance", "until", "2030-01-04T00:00:00Z", "--format", "json")
        )
        assert (moved["arrived"], moved["now"]) == (True, "2030-01-04T00:00:00.000000Z")
        back = jobrunner("clock", "advance", "until", START)
        assert (back.returncode, "time does not go back" in back.stderr) == (2, True)
        assert jobrunner("clock", "advance", "until").returncode == 2
        alone = refused("run", "--", "true")
        assert "its server alone runs things there" in alone
        assert json.loads(said("executions", "list", "--format", "json")) == []
    assert "its server alone runs things there" in refused("run", "--", "true")
    assert "would lie in the future" in refused("serve", "--port", "0")
    again = refused("serve", "--port", "0", "--clock", "virtual", "--from", "2031-01-01T00:00:00Z")
    assert "stands at 2030-01-04T00:00:00" in again
    with serving(*VIRTUAL):
        assert said("clock") == "2030-01-04T00:00:00.000000Z\n"


@pytest.mark.usefixtures("home")
def test_a_real_clock_is_shown_and_not_moved_and_ends_virtual_time_that_is_behind() -> None:
    home = Path(os.environ["JOBRUNNER_HOME"])
    with serving("--clock", "virtual", "--from", "2020-01-01T00:00:00Z"):
        assert (home / "clock.json").exists()
    with serving():
        assert not (home / "clock.json").exists()
        assert "Virtual time of this home ends at 2020-01-01" in (home / "serve.log").read_text()
        assert "nobody moves" in refused("clock", "advance", "1h")
        shown = jobrunner("clock")
        assert (shown.returncode, "real clock" in shown.stderr) == (0, True)
        assert said("run", "--", "true") == ""


@pytest.mark.usefixtures("home")
def test_virtual_time_needs_a_home_of_its_own_on_sqlite() -> None:
    words = ("serve", "--port", "0", "--clock", "virtual", "--database-url")
    assert "needs SQLite" in refused(*words, "postgresql://nobody@127.0.0.1:1/nothing")
    wrong = jobrunner("serve", "--port", "0", "--from", START)
    assert (wrong.returncode, "--clock virtual" in wrong.stderr) == (2, True)
    with serving(*VIRTUAL):
        assert "runs already" in refused("serve", "--port", "0", "--clock", "virtual")


def test_a_process_takes_the_time_it_takes_and_the_clock_waits_for_it(tmp_path: Path) -> None:
    with served(tmp_path / "home", "--clock", "virtual", "--from", START) as server:
        server.create("nap", "sleep 0.4; exit 3", annotations={"jobrunner.dev/backend": "process"})
        _hourly(server, "nap", f"{RUN}/nap:run")
        moved = server.call("POST", ADVANCE, {"by": "2h"})
        assert moved["arrived"], moved
        runs = server.executions("nap")
        ends = [one["completionTime"] for one in runs]
        assert ends == ["2030-01-01T02:00:00.000000Z", "2030-01-01T01:00:00.000000Z"]
        assert [one["failedCount"] for one in runs] == [1, 1]


def test_the_call_answers_on_the_way_and_says_what_is_wrong(tmp_path: Path) -> None:
    with served(tmp_path / "home", *VIRTUAL, "--from", START) as server:
        for body, wrong in (
            ({}, "exactly one"),
            ({"by": "1h", "until": START}, "exactly one"),
            ({"by": "soon"}, "by: 'soon' is not a duration"),
            ({"until": "soon"}, "until: 'soon' is not a time"),
            ({"by": 3}, "by: it is not text"),
            ({"by": "1h", "fast": "x"}, "fast: there is no such field"),
            ({"until": "2029-01-01T00:00:00Z"}, "time does not go back"),
            ({"by": "9000000d"}, "after the year 9999"),
        ):
            with pytest.raises(Answered, match="400") as error:
                server.call("POST", ADVANCE, body)
            assert wrong in str(error.value)
        with receiving() as sink:
            _hourly(server, "call", f"{sink.url}/x")
            body = {"by": "30d", "within": "200ms"}
            # A machine that is busy may not have come to the first instant by then.
            moved = until(lambda: (m := server.call("POST", ADVANCE, body))["instants"] and m)
        assert (moved["arrived"], moved["doing"]) == (False, [])
        assert 0 < moved["instants"] < 720
        assert server.call("GET", "/jobrunner/v1/clock") == {
            "clock": "virtual",
            "now": moved["now"],
        }


def test_killed_on_the_way_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    home, hours = tmp_path / "home", 120
    with receiving() as sink:
        with served(home, *VIRTUAL, "--from", START) as server:
            script = "exit 1 after 90s; exit 0 after 5m"
            server.create("work", "true", env={"JOBRUNNER_SCRIPT": script}, maxRetries=1)
            _hourly(server, "run", f"{RUN}/work:run")
            _hourly(server, "call", f"{sink.url}/call")
        kills = 0
        for seen in (10, 35, 70):
            with served(home, *VIRTUAL) as server:
                _advance_until_killed(server, sink, seen)
                kills += 1
        with served(home, *VIRTUAL) as server:
            moved = server.call("POST", ADVANCE, {"until": END}, timeout=60)
            assert moved["arrived"], moved
            runs = server.executions("work")
            books = _books(server)
    for name in ("call", "run"):
        assert books[name] == dict.fromkeys(range(1, hours + 1), ("DELIVERED", 1)), name
    assert len(runs) == hours
    assert Counter(one.get("succeededCount", 0) for one in runs) == {1: hours}
    assert hours <= sink.began["/call"] <= hours + kills, "what was on the wire may come again"


def _advance_until_killed(server: Served, sink: Receiver, seen: int) -> None:
    def advance() -> None:
        with pytest.raises((OSError, Answered)):
            server.call("POST", ADVANCE, {"until": END}, timeout=60)

    caller = threading.Thread(target=advance)
    caller.start()
    until(lambda: sink.began["/call"] >= seen)
    server.process.kill()
    server.process.wait()
    caller.join(60)


def _hourly(server: Served, name: str, url: str) -> None:
    place = "projects/local/locations/us-central1"
    body = {
        "name": f"{place}/jobs/{name}",
        "schedule": "0 * * * *",
        "httpTarget": {"uri": url, "httpMethod": "POST"},
    }
    server.call("POST", f"/v1/{place}/jobs", body)


def _books(server: Served) -> dict[str, dict[int, tuple[str, int]]]:
    """By schedule and hour: state and counted attempts of the one delivery."""
    found: dict[str, dict[int, tuple[str, int]]] = {"call": {}, "run": {}}
    token = ""
    while True:
        page = server.call("GET", f"{DELIVERIES}?pageSize=1000&pageToken={token}")
        for one in page["deliveries"]:
            day, hour = int(one["createTime"][8:10]), int(one["createTime"][11:13])
            at = (day - 1) * 24 + hour
            assert at not in found[one["sourceName"]], "an hour was opened twice"
            found[one["sourceName"]][at] = one["state"], one["attempts"]
        token = page.get("nextPageToken", "")
        if not token:
            return found
