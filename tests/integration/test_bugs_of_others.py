"""What went wrong for the users of other schedulers, where it takes a real server, real processes
and a real death to see that it does not go wrong here. The rest: tests/unit/triggers.
"""

from pathlib import Path
from typing import Any

from tests.support.commands import jobrunner
from tests.support.served import PLACE, Answered, Served, served
from tests.support.waiting import until

SCHEDULES = "/v1/projects/local/locations/us-central1/jobs"
YEARLY = ("--schedule", "0 0 1 1 *")
SERVE = ("--backend", "process")


def schedule(name: str, job: str, *more: str) -> None:
    run = jobrunner("schedules", "create", "job", name, *YEARLY, "--job", job, *more)
    assert run.returncode == 0, run.stderr


def fire(server: Served, name: str) -> None:
    server.call("POST", f"{SCHEDULES}/{name}:run", {})


def refused(server: Served, name: str) -> bool:
    try:
        fire(server, name)
    except Answered as answer:
        return "overlap forbid" in str(answer)
    return False


def runs(server: Served, job: str) -> list[Any]:
    return server.executions(job)


def over(server: Served, job: str) -> bool:
    found = runs(server, job)
    return bool(found) and all("completionTime" in one for one in found)


def test_a_run_that_outlives_its_server_forbids_a_second_one_and_the_next_starts_after_it(
    home: Path, tmp_path: Path
) -> None:
    """dkron#349 and #1569: after the scheduler's death a second run joined the first, or none ever
    came again."""
    book, gate = tmp_path / "book", tmp_path / "gate"
    with served(home, *SERVE) as server:
        script = f"echo start >> {book}; while [ ! -e {gate} ]; do sleep 0.05; done"
        server.create("long", f"{script}; echo end >> {book}")
        schedule("guarded", "long", "--overlap", "forbid")
        fire(server, "guarded")
        until(book.exists)
        server.process.kill()
        server.process.wait()
    with served(home, *SERVE) as server:
        assert refused(server, "guarded")
        assert len(runs(server, "long")) == 1
        gate.touch()
        until(lambda: over(server, "long"))
        assert runs(server, "long")[0]["succeededCount"] == 1
        fire(server, "guarded")
        until(lambda: len(runs(server, "long")) == 2 and over(server, "long"))
    assert book.read_text().split() == ["start", "end"] * 2


def test_a_process_that_a_task_leaves_behind_keeps_no_later_fire_from_starting(
    home: Path, tmp_path: Path
) -> None:
    """supercronic#88: a grandchild that nobody waited for kept its job running for ever."""
    left = tmp_path / "left"
    with served(home, *SERVE) as server:
        # One grandchild is dead and was waited for by nobody; the other holds the pipes open.
        server.create("litter", f"(sleep 300 & echo $! > {left}; (exit 0) & exit 0) & exit 0")
        schedule("untidy", "litter", "--overlap", "forbid")
        for count in (1, 2):
            until(lambda: not refused(server, "untidy"))
            until(lambda n=count: len(runs(server, "litter")) == n and over(server, "litter"))
        assert [one["succeededCount"] for one in runs(server, "litter")] == [1, 1]


def test_a_server_that_is_told_to_end_drains_and_ends_well(home: Path, tmp_path: Path) -> None:
    """supercronic#173: a stop signal ended in a failure, because of what served the metrics."""
    begun = tmp_path / "begun"
    with served(home, *SERVE) as server:
        server.create("work", f"touch {begun}; sleep 0.5; touch {begun}.over")
        schedule("nightly", "work")
        fire(server, "nightly")
        until(begun.exists)
        assert server.stop() < 10
        assert server.process.returncode == 0
        assert "Traceback" not in server.said()
    with served(home, *SERVE) as server:
        until(lambda: over(server, "work"))
        assert runs(server, "work")[0]["succeededCount"] == 1
        assert Path(f"{begun}.over").exists()


def test_after_a_restart_nothing_that_failed_long_ago_is_started_or_sent_again(
    home: Path, tmp_path: Path
) -> None:
    """nomad#3714: a restart ran old failures again."""
    book = tmp_path / "book"
    with served(home, *SERVE) as server:
        server.create("bad", f"echo start >> {book}; exit 1")
        schedule("failing", "bad", "--acknowledge", "success")
        fire(server, "failing")
        until(lambda: over(server, "bad"))
        path = "/jobrunner/v1/deliveries"
        until(lambda: server.call("GET", f"{path}?state=dead")["deliveries"] != [])
        before = server.call("GET", path)
        server.stop()
    for _ in range(2):
        with served(home, *SERVE) as server:
            server.call("POST", f"{PLACE}/jobs/bad:run", {"validateOnly": True})
            assert server.call("GET", path) == before
            assert len(runs(server, "bad")) == 1
            server.stop()
    assert book.read_text().split() == ["start"]


def test_a_run_that_could_not_do_its_work_leaves_a_letter_that_says_why(home: Path) -> None:
    """coolify#6566: it had failed, and nothing said why."""
    scripts = {"missing": "exec /nowhere/at-all", "failing": "echo no room >&2; exit 7"}
    codes = {"missing": 127, "failing": 7}
    with served(home, *SERVE) as server:
        for name, script in scripts.items():
            server.create(name, script)
            schedule(name, name, "--acknowledge", "success")
            fire(server, name)
        path = "/jobrunner/v1/deliveries?state=dead"
        until(lambda: len(server.call("GET", path)["deliveries"]) == 2)
        letters = {one["sourceName"]: one for one in server.call("GET", path)["deliveries"]}
        for name, code in codes.items():
            (run,) = runs(server, name)
            assert letters[name]["execution"] == run["uid"]
            short = run["name"].rsplit("/", 1)[-1]
            assert letters[name]["reason"].startswith(f"execution {short} failed")
            (task,) = server.call("GET", f"/v2/{run['name']}/tasks")["tasks"]
            assert task["lastAttemptResult"]["exitCode"] == code
