"""The command line beside a server: what it finds, what it leaves to it, what outlives it."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from jobrunner.lib import serverfile
from jobrunner.lib.identity import runner_name
from jobrunner.lib.serverfile import ServerFile
from tests.support.commands import (
    alive,
    document,
    environment_with,
    jobrunner,
    line_of,
    only_execution,
    started,
)
from tests.support.fixtures import free_port
from tests.support.serving import announced, serving
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("home")


def ok(*words: str, **more: object) -> str:
    run = jobrunner(*words, **more)
    assert run.returncode == 0, run.stderr
    return run.stdout


def make_job(script: str, *options: str, name: str = "j") -> None:
    ok("jobs", "create", name, "--command", "sh", "--args", f"^|^-c|{script}",
       "--max-retries", "0", *options)  # fmt: skip


def state_of(name: str) -> str:
    return str(document("executions", "describe", name)["state"])


def waiting_for(path: Path, *, then: str = "echo two") -> str:
    return f"echo one; while [ ! -e {path} ]; do sleep 0.02; done; {then}"


# ---------------------------------------------------------------- left to the server


def test_async_returns_at_once_with_the_name_and_the_server_drives(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with serving():
        make_job(waiting_for(go, then="exit 3"))
        run = jobrunner("jobs", "execute", "j", "--async")
        assert (run.returncode, run.stderr) == (0, "")
        name = run.stdout.strip()
        assert document("executions", "describe", name)["completedAt"] is None
        go.touch()
        assert jobrunner("executions", "wait", name).returncode == 1


def test_without_a_server_async_is_refused() -> None:
    make_job("true")
    run = jobrunner("jobs", "execute", "j", "--async")
    assert (run.returncode, "needs a server" in run.stderr) == (4, True)
    assert document("executions", "list") == []


def test_the_actor_and_the_time_are_those_of_a_command_line_alone() -> None:
    make_job("true", name="alone")
    with serving():
        make_job("true", name="served")
    alone, served = (json.loads(ok("jobs", "describe", n, "--format", "json"))
                     for n in ("alone", "served"))  # fmt: skip
    key = "serving.knative.dev/creator"
    assert alone["metadata"]["annotations"].get(key) == served["metadata"]["annotations"].get(key)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_signal_cancels_through_the_server_and_stays(number: int) -> None:
    with serving():
        make_job('trap "echo got term; exit 0" TERM; echo $$; while :; do sleep 0.05; done')
        with started("jobs", "execute", "j", "--logs") as process:
            name = line_of(process)
            pid = int(line_of(process).removeprefix("[0] "))
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out == b"[0] got term\n"
        assert b"1 cancelled" in err
        assert not alive(pid)
        assert state_of(name) == "CANCELLED"


def test_a_second_signal_leaves_the_rest_to_the_server(tmp_path: Path) -> None:
    with serving():
        go = tmp_path / "go"
        script = f'trap "told=1" TERM; echo $$; until [ "$told" -a -e {go} ]; do sleep 0.05; done'
        make_job(script, "--grace-period", "1h")
        with started("jobs", "execute", "j", "--logs") as process:
            name = line_of(process)
            pid = int(line_of(process).removeprefix("[0] "))
            process.send_signal(signal.SIGINT)
            until(lambda: document("executions", "describe", name)["abort"])
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 130
            assert b"Traceback" not in err
            assert f"{name} is left to the server, which ends it.".encode() in err
            assert alive(pid)
        go.touch()
        assert jobrunner("executions", "wait", name).returncode == 1
        assert not alive(pid)
        assert state_of(name) == "CANCELLED"


def test_an_execution_whose_command_line_died_is_driven_by_the_server(tmp_path: Path) -> None:
    go = tmp_path / "go"
    make_job(waiting_for(go))
    with started("jobs", "execute", "j", "--logs") as process:
        name = line_of(process)
        line_of(process)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert document("executions", "describe", name)["interrupted"] is True
    with serving(), started("executions", "continue", name, "--logs") as follower:
        assert line_of(follower) == "[0] one"
        go.touch()
        out, err = follower.communicate(timeout=60)
        assert (follower.returncode, out) == (0, b"[0] two\n")
        assert b"The server drives it by itself" in err
        again = jobrunner("executions", "continue", name)
        assert (again.returncode, "nothing to continue" in again.stderr) == (4, True)


def test_what_is_driven_here_is_not_taken_by_a_server_that_is_started_meanwhile(
    tmp_path: Path,
) -> None:
    go = tmp_path / "go"
    make_job(waiting_for(go))
    with started("jobs", "execute", "j", "--logs") as process:
        name = line_of(process)
        line_of(process)
        with serving():
            go.touch()
            assert process.communicate(timeout=60)[0] == b"[0] two\n"
            assert process.returncode == 0
            assert state_of(name) == "SUCCEEDED"
    assert len(document("executions", "describe", name)["tasks"][0]["attempts"]) == 1


def test_run_drives_itself_beside_a_server(tmp_path: Path) -> None:
    with serving():
        run = jobrunner("run", "--", "sh", "-c", "echo $MINE", env=environment_with(MINE="callers"))
        assert (run.returncode, run.stdout) == (0, "callers\n")
        assert state_of(only_execution()) == "SUCCEEDED"
    assert "callers" not in (Path(os.environ["JOBRUNNER_HOME"]) / "serve.log").read_text()


# ---------------------------------------------------------------- a server that goes away


def test_following_outlives_a_killed_server_and_misses_no_byte(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = (
        'n=0; while [ $n -lt 300 ]; do echo "line $n"; echo "err $n" >&2; n=$((n+1)); sleep 0.01;'
        f" done; while [ ! -e {go} ]; do sleep 0.02; done; echo end"
    )
    expected = "".join(f"line {n}\n" for n in range(300)) + "end\n"
    with serving() as first:
        make_job(script)
        with started("jobs", "execute", "j", "--logs") as executing:
            name = line_of(executing)
            follow = ("executions", "logs", name, "--follow", "--stream", "stdout")
            with started(*follow) as following:
                assert line_of(following) == "line 0"
                first.kill()
                first.wait()
                with serving():
                    go.touch()
                    followed, said = following.communicate(timeout=90)
                    assert following.returncode == 0, said
                    assert "line 0\n" + followed.decode() == expected
                    out, err = executing.communicate(timeout=90)
                    assert executing.returncode == 0, err
                    mine = "".join(f"[0] {line}\n" for line in expected.splitlines())
                    assert out.decode().splitlines() == mine.splitlines()
                    assert err.decode().count("[0] err") == 300
    assert len(document("executions", "describe", name)["tasks"][0]["attempts"]) == 1


def test_following_goes_on_with_the_next_server_on_the_same_port(tmp_path: Path) -> None:
    go = tmp_path / "go"
    port = ("--port", str(free_port()))
    with serving(*port) as first:
        make_job(waiting_for(go))
        name = ok("jobs", "execute", "j", "--async").strip()
        with started("executions", "logs", name, "--follow") as following:
            assert line_of(following) == "one"
            first.terminate()
            first.wait()
            with serving(*port):
                go.touch()
                followed, said = following.communicate(timeout=90)
    assert (following.returncode, followed) == (0, b"two\n"), said


def test_a_killed_servers_file_is_ignored() -> None:
    with serving() as server:
        make_job("true")
        server.kill()
        server.wait()
        assert (Path(os.environ["JOBRUNNER_HOME"]) / "server.json").exists()
        ok("jobs", "execute", "j")


def test_a_server_that_does_not_answer_is_a_fault_and_never_passed_over(home: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        entry = ServerFile(
            f"http://127.0.0.1:{held.getsockname()[1]}", os.getpid(), runner_name("x"), "1", "k"
        )
        serverfile.write(str(home), entry)
        run = jobrunner("jobs", "list")
    assert (run.returncode, run.stdout) == (5, "")
    assert run.stderr.startswith(f"Error: The server at {entry.endpoint} (pid {os.getpid()})")
    assert f"kill {os.getpid()}" in run.stderr
    assert not (home / "jobrunner.db").exists()
    check = next(c for c in document("doctor")["checks"] if c["name"] == "Server")
    assert check["status"] == "failed"


# ---------------------------------------------------------------- which server


def test_an_endpoint_and_a_token_reach_a_server_of_another_home(home: Path, tmp_path: Path) -> None:
    with serving():
        make_job("echo there")
        token = ok("tokens", "create", "ci", "--role", "invoker").strip()
        viewer = ok("tokens", "create", "see", "--role", "viewer").strip()
        served = announced_endpoint()
        elsewhere = environment_with(
            JOBRUNNER_HOME=str(tmp_path), JOBRUNNER_ENDPOINT=served, JOBRUNNER_TOKEN=token
        )
        name = ok("jobs", "execute", "j", env=elsewhere).strip()
        assert ok("executions", "logs", name, env=elsewhere) == "there\n"
        refused = jobrunner("jobs", "delete", "j", env=elsewhere)
        assert refused.returncode == 4
        assert "The server refuses the call" in refused.stderr
        looking = jobrunner("jobs", "execute", "j", env={**elsewhere, "JOBRUNNER_TOKEN": viewer})
        assert looking.returncode == 4
        stranger = jobrunner("jobs", "list", env={**elsewhere, "JOBRUNNER_TOKEN": "wrong"})
        assert (stranger.returncode, "JOBRUNNER_TOKEN" in stranger.stderr) == (4, True)
    gone = jobrunner("jobs", "list", env=elsewhere)
    assert (gone.returncode, "JOBRUNNER_ENDPOINT" in gone.stderr) == (5, True)


def announced_endpoint() -> str:
    entry = serverfile.read(os.environ["JOBRUNNER_HOME"])
    assert entry is not None
    return entry.endpoint


@pytest.mark.parametrize("text", ["127.0.0.1:8686", "ftp://x:1", "http://x:1/path", "http://u:p@x"])
def test_an_endpoint_that_is_none_is_a_mistake_of_usage(text: str) -> None:
    run = jobrunner("jobs", "list", env=environment_with(JOBRUNNER_ENDPOINT=text))
    assert (run.returncode, run.stderr.startswith("Error: JOBRUNNER_ENDPOINT: ")) == (2, True)


def test_another_database_than_the_servers_is_worked_on_alone(tmp_path: Path) -> None:
    with serving():
        make_job("true")
        other = environment_with(JOBRUNNER_DATABASE_URL=f"sqlite:///{tmp_path}/other.db")
        assert jobrunner("jobs", "list", env=other).stderr == "No jobs yet.\n"
        (check,) = [c for c in json.loads(ok("doctor", "--format", "json", env=other))["checks"]
                    if c["name"] == "Server"]  # fmt: skip
        assert check["status"] == "warn"


def test_the_doctor_says_which_server_there_is() -> None:
    def seen() -> str:
        (check,) = [c for c in document("doctor")["checks"] if c["name"] == "Server"]
        assert check["status"] == "ok"
        return str(check["seen"])

    assert seen() == "none on this home"
    with serving() as server:
        assert announced(server.pid)
        assert f"pid {server.pid}" in seen()


@pytest.mark.parametrize(
    "words", [("jobs", "list"), ("executions", "list"), ("executions", "logs", "nope")]
)
def test_a_read_through_a_server_loads_no_database_and_no_event_loop(
    words: tuple[str, ...],
) -> None:
    with serving():
        run = jobrunner(*words, env=environment_with(PYTHONPROFILEIMPORTTIME="1"))
    loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if "|" in line}
    assert "jobrunner.client.remote" in loaded
    assert not loaded & {"sqlite3", "asyncio", "jobrunner.store", "jobrunner.app", "yaml"}


# ---------------------------------------------------------------- amounts


def test_the_bytes_of_an_execution_are_exact_through_a_server(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(os.urandom(3_000_000) + b"\n")
    with serving():
        ok("jobs", "create", "j", "--command", "cat", "--args", str(blob))
        name = ok("jobs", "execute", "j").strip()
        run = jobrunner("executions", "logs", name, text=False)
        assert run.stdout == blob.read_bytes()
        tail = jobrunner("executions", "logs", name, "--follow", text=False)
        assert tail.stdout == blob.read_bytes()


def test_many_tasks_are_followed_with_all_of_their_output() -> None:
    with serving():
        make_job("echo $CLOUD_RUN_TASK_INDEX; echo e >&2", "--tasks", "300", "--parallelism", "20")
        run = jobrunner("jobs", "execute", "j", "--logs")
        assert run.returncode == 0, run.stderr
        name, *lines = run.stdout.splitlines()
        assert sorted(lines) == sorted(f"[{n}] {n}" for n in range(300))
        assert run.stderr.count("] e\n") == 300
        assert f"{name}: 300 tasks: 300 succeeded" in run.stderr
        assert len(ok("executions", "logs", name).splitlines()) == 600


def test_a_process_started_by_hand_can_be_any_server_but_a_living_one(home: Path) -> None:
    """A file that names a process which has ended is no server."""
    ended = subprocess.Popen(["true"])
    name = runner_name("x").replace(f"pid {os.getpid()} ", f"pid {ended.pid} ")
    ended.wait()
    serverfile.write(str(home), ServerFile("http://127.0.0.1:9", ended.pid, name, "1", "k"))
    assert jobrunner("jobs", "list").stderr == "No jobs yet.\n"
