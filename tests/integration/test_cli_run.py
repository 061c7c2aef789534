"""``jobrunner run`` with real processes: output, exit codes, summary, signals."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.commands import (
    PROGRAM,
    alive,
    document,
    environment_with,
    jobrunner,
    line_of,
    only_execution,
    started,
)
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("way")


def shell(script: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return jobrunner("run", *options, "--", "sh", "-c", script)


def test_a_single_task_prints_as_if_it_ran_alone() -> None:
    run = shell("printf 'no end'; printf 'err\\n\\n' >&2")
    assert (run.returncode, run.stdout, run.stderr) == (0, "no end", "err\n\n")


def test_the_bytes_of_a_single_task_are_exact(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(os.urandom(3_000_000))
    run = jobrunner("run", "--", "cat", str(blob), text=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, blob.read_bytes(), b"")


def test_each_task_knows_its_place_and_its_lines_bear_its_index() -> None:
    run = shell(
        "echo $CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT; echo talk >&2", "--tasks", "3"
    )
    assert run.returncode == 0
    assert sorted(run.stdout.splitlines()) == ["[0] 0 of 3", "[1] 1 of 3", "[2] 2 of 3"]
    assert {"[0] talk", "[1] talk", "[2] talk"} <= set(run.stderr.splitlines())


def test_lines_are_never_torn_however_they_are_written() -> None:
    script = (
        "for i in 1 2 3 4 5 6 7 8 9 10; do printf $CLOUD_RUN_TASK_INDEX-; sleep 0.01;"
        ' printf "%0500d\\n" $i; done'
    )
    run = shell(script, "--tasks", "12")
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    assert len(lines) == 120
    for line in lines:
        assert re.fullmatch(r"\[(\d+)\] \1-\d{500}", line)
    for index in range(12):
        mine = [int(line[-3:]) for line in lines if line.startswith(f"[{index}] ")]
        assert mine == list(range(1, 11))


def test_the_environment_and_the_directory_are_the_callers(tmp_path: Path) -> None:
    run = jobrunner(
        "run", "--set-env-vars", "OWN=flag", "--", "sh", "-c", "echo $MINE $OWN; pwd",
        cwd=tmp_path, env=environment_with(MINE="callers"),
    )  # fmt: skip
    assert run.stdout == f"callers flag\n{tmp_path}\n"
    assert "callers" not in json.dumps(document("executions", "describe", only_execution()))


def test_standard_input_is_empty() -> None:
    run = jobrunner("run", "--", "wc", "-c", input="swallowed", stdin=None)
    assert run.stdout == "0\n"


def test_one_failed_task_makes_the_exit_code_one_and_stops_no_other() -> None:
    run = shell("echo in $CLOUD_RUN_TASK_INDEX; exit $((CLOUD_RUN_TASK_INDEX == 1 ? 7 : 0))",
                "--tasks", "4", "--parallelism", "1")  # fmt: skip
    name = only_execution()
    assert run.returncode == 1
    assert len(run.stdout.splitlines()) == 4
    assert "4 tasks: 3 succeeded, 1 failed in" in run.stderr
    assert "  task 1 failed: exit code 7, 1 attempt\n    | in 1\n" in run.stderr
    assert f"    more: jobrunner executions logs {name} --index 1\n" in run.stderr


def test_the_command_that_the_summary_names_shows_more() -> None:
    run = shell("seq 100; exit 3")
    (more,) = re.findall(r"more: jobrunner (.*)", run.stderr)
    assert jobrunner(*more.split()).stdout == "".join(f"{n}\n" for n in range(1, 101))


def test_a_retry_is_marked_and_wins() -> None:
    run = shell(
        "echo try; exit $((CLOUD_RUN_TASK_ATTEMPT == 0))", "--tasks", "2", "--max-retries", "1"
    )
    assert run.returncode == 0
    assert sorted(run.stdout.splitlines()) == ["[0.1] try", "[0] try", "[1.1] try", "[1] try"]
    assert "2 tasks: 2 succeeded, 2 retried in" in run.stderr


def test_a_command_that_does_not_exist_is_a_failed_run_with_its_reason() -> None:
    run = jobrunner("run", "--", "no-such-command-anywhere")
    assert run.returncode == 1
    assert "no-such-command-anywhere" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_timeout_is_told_as_one() -> None:
    run = jobrunner("run", "--task-timeout", "1s", "--grace-period", "1s", "--", "sleep", "100")
    assert run.returncode == 1
    assert "task 0 failed: timed out, 1 attempt" in run.stderr


def test_a_signal_is_told_by_its_name() -> None:
    run = shell("kill -9 $$")
    assert run.returncode == 1
    assert "task 0 failed: killed by signal 9 (SIGKILL), 1 attempt" in run.stderr


def test_output_can_be_kept_apart_in_files(tmp_path: Path) -> None:
    script = "echo out $CLOUD_RUN_TASK_INDEX; echo err $CLOUD_RUN_TASK_INDEX >&2"
    run = shell(script, "--tasks", "3", "--output", f"dir={tmp_path}/out", "--quiet")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    files = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert files == {f"{n}.{end}": f"{end} {n}\n" for n in range(3) for end in ("out", "err")}


def test_grouped_output_is_whole_and_without_a_prefix() -> None:
    script = "echo a$CLOUD_RUN_TASK_INDEX; sleep 0.05; echo b$CLOUD_RUN_TASK_INDEX"
    run = shell(script, "--tasks", "8", "--output", "group")
    lines = run.stdout.splitlines()
    assert sorted(lines) == sorted(f"{letter}{n}" for letter in "ab" for n in range(8))
    assert all(lines[i][1:] == lines[i + 1][1:] for i in range(0, 16, 2))


def test_json_is_one_document_with_every_attempt() -> None:
    run = shell("exit $CLOUD_RUN_TASK_INDEX", "--tasks", "2", "--max-retries", "1",
                "--format", "json")  # fmt: skip
    assert run.returncode == 1
    found = json.loads(run.stdout)
    assert found["state"] == "FAILED"
    endings = [[a["exitCode"] for a in task["attempts"]] for task in found["tasks"]]
    assert endings == [[0], [1, 1]]
    attempt = found["tasks"][1]["attempts"][1]
    assert (attempt["number"], attempt["timedOut"], attempt["lost"]) == (1, False, False)
    assert attempt["startedAt"] <= attempt["endedAt"]
    assert attempt["usage"]["maxRssBytes"] > 0


def test_output_that_cannot_be_passed_on_takes_neither_summary_nor_document(
    tmp_path: Path,
) -> None:
    (tmp_path / "out" / "0.out").mkdir(parents=True)
    run = shell("echo lost", "--output", f"dir={tmp_path}/out", "--format", "json")
    assert run.returncode == 5
    assert json.loads(run.stdout)["state"] == "SUCCEEDED"
    assert "1 task: 1 succeeded in" in run.stderr
    assert "Error: The output of tasks could not be written" in run.stderr


def test_words_that_are_no_text_are_refused_by_name() -> None:
    run = jobrunner("run", "--", "echo", b"\xff")  # type: ignore[arg-type]
    assert run.returncode == 2
    assert run.stderr.startswith("Error: COMMAND: '\\udcff' holds bytes that are not UTF-8")


def test_what_was_never_started_is_described_where_there_is_no_output() -> None:
    run = jobrunner("run", "--", "no-such-command-anywhere")
    (more,) = re.findall(r"more: jobrunner (.*)", run.stderr)
    assert "no-such-command-anywhere" in jobrunner(*more.split()).stdout


def test_quiet_success_says_nothing_and_quiet_failure_says_what_failed() -> None:
    assert shell("true", "--tasks", "3", "--quiet").stderr == ""
    assert "task 0 failed" in shell("exit 1", "--tasks", "2", "--quiet").stderr


def test_a_reader_that_goes_away_is_no_error_and_stops_no_task() -> None:
    with started("run", "--tasks", "30", "--", "sh", "-c", "seq 2000; sleep 0.1") as process:
        line_of(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(60) == 0
    assert "30 tasks: 30 succeeded" in said
    assert "Traceback" not in said
    assert "Broken" not in said


def test_its_job_is_hidden_and_its_execution_is_listed() -> None:
    shell("true")
    assert document("jobs", "list") == []
    assert only_execution().startswith("run-")


def test_a_fault_of_the_engine_has_its_own_exit_code_and_says_how_to_go_on() -> None:
    environment = environment_with(DOCKER_HOST="unix:///nonexistent/engine.sock")
    run = jobrunner("run", "--image", "nobody/asks:1", "--", "true", env=environment)
    assert (run.returncode, run.stdout) == (5, "")
    assert run.stderr.startswith("Error: ")
    name = only_execution()
    assert f"jobrunner executions continue {name}\n" in run.stderr
    assert "Traceback" not in run.stderr
    again = jobrunner("executions", "continue", name, env=environment)
    assert (again.returncode, again.stdout) == (5, "")
    assert "has ended" not in again.stderr


# ---------------------------------------------------------------- signals


SLOW = 'trap "echo got term; exit 0" TERM; echo $$; while :; do sleep 0.05; done'
STUBBORN = 'trap "" TERM; echo $$; while :; do sleep 0.05; done'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_signal_ends_the_tasks_gracefully_and_the_exit_code_is_130(number: int) -> None:
    with started("run", "--", "sh", "-c", SLOW) as process:
        pid = int(line_of(process))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b"got term\n"
    assert b"1 cancelled" in err
    assert not alive(pid)
    (task,) = document("executions", "describe", only_execution())["tasks"]
    assert task["attempts"][0]["state"] == "CANCELLED"


def test_a_second_signal_kills_at_once() -> None:
    with started("run", "--grace-period", "100s", "--", "sh", "-c", STUBBORN) as process:
        pid = int(line_of(process))
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        until(lambda: document("executions", "describe", only_execution())["abort"])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 50
    assert not alive(pid)


# ---------------------------------------------------------------- a terminal


def on_a_terminal(*words: str, term: str = "xterm", **env: str) -> tuple[str, int]:
    """Everything that a terminal of 80 columns was sent, and the exit code."""
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment_with(TERM=term, **env),
    )  # fmt: skip
    os.close(theirs)
    sent = b""
    while True:
        ready, _, _ = select.select([ours], [], [], 60)
        assert ready, "the terminal stayed silent"
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        if not data:
            break
        sent += data
    os.close(ours)
    return sent.decode(), process.wait(60)


def rendered(sent: str) -> list[str]:
    """The lines that stay on the screen, by what the control sequences mean."""
    lines, column = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|\x1b\[[\d;]*m|\r|\n|[^\x1b\r\n]+", sent):
        if part == "\r":
            column = 0
        elif part == "\n":
            lines.append("")
            column = 0
        elif part == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif part == "\x1b[1A":
            lines.pop()
        elif not part.startswith("\x1b"):
            lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part) :]
            column += len(part)
    return lines


SOME_OUTPUT = ("--tasks", "6", "--parallelism", "2", "--", "sh", "-c", "echo hello; sleep 0.4")


def test_a_terminal_shows_a_block_that_leaves_nothing_behind() -> None:
    sent, code = on_a_terminal("run", *SOME_OUTPUT)
    assert code == 0
    assert "running" in sent
    assert "/6 done" in sent
    left = [line for line in rendered(sent) if line]
    assert sorted(left[:-1]) == [f"[{n}] hello" for n in range(6)]
    assert re.fullmatch(r"run-\w+-\w+: 6 tasks: 6 succeeded in .*", left[-1])


def test_no_color_takes_the_colours_away_and_a_dumb_terminal_the_block() -> None:
    sent, _ = on_a_terminal("run", *SOME_OUTPUT, NO_COLOR="1")
    assert "running" in sent
    assert not re.search(r"\x1b\[[\d;]*m", sent)
    sent, _ = on_a_terminal("run", *SOME_OUTPUT, term="dumb")
    assert "\x1b" not in sent
    assert "task 5 succeeded" in sent
