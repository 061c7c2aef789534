"""Standard streams that are closed or full, and a working directory that is gone."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import PROGRAM, document

pytestmark = pytest.mark.usefixtures("way")


def in_shell(words: str, redirections: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "-c", f"{shlex.join(PROGRAM)} {words} {redirections}"],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("executions list", 0),
        ("jobs describe nope", 3),
        ("run --tasks 2 -- echo x", 0),
        ("run -- sh -c 'echo x; exit 3'", 1),
    ],
)
def test_a_closed_standard_stream_changes_no_exit_code(
    home: Path, words: str, code: int, closed: str
) -> None:
    run = in_shell(words, closed)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    assert not (home / "crash").exists()


def test_no_file_takes_the_place_of_a_closed_standard_output() -> None:
    assert in_shell("run --tasks 2 -- echo not-for-the-database", ">&-").returncode == 0
    (execution,) = document("executions", "list")
    assert execution["state"] == "SUCCEEDED"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["--help", "--version", "doctor", "completion bash"])
def test_a_full_standard_output_is_one_sentence(words: str) -> None:
    run = in_shell(words, ">/dev/full")
    assert (run.returncode, run.stderr) == (5, "Error: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_error_does_not_change_the_exit_code_of_an_error() -> None:
    assert in_shell("jobs describe nope", "2>/dev/full").returncode == 3


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {shlex.quote(str(gone))}; rmdir ../gone; {shlex.join(PROGRAM)} run -- true"
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    run = subprocess.run(
        ["sh", "-c", script],
        check=False, capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip
    assert run.returncode == 5
    assert run.stderr.startswith("Error: The directory that this command was started in")
