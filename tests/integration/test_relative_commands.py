"""Where the command of a stored job is sought."""

import subprocess
import sys
from pathlib import Path

import pytest

JOBRUNNER = str(Path(sys.executable).parent / "jobrunner")


def jobrunner(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JOBRUNNER, *words], cwd=cwd, check=False, capture_output=True, text=True)


@pytest.mark.usefixtures("home")
def test_a_relative_working_directory_is_the_one_where_the_job_was_created(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    script = here / "report.sh"
    script.write_text("#!/bin/sh\necho found\n")
    script.chmod(0o755)
    words = ("jobs", "create", "report", "--workdir", ".", "--command", "./report.sh")
    assert jobrunner(*words, cwd=here).returncode == 0
    ended = jobrunner("jobs", "execute", "report", "--logs", cwd=elsewhere)
    assert ended.returncode == 0
    assert "[0] found\n" in ended.stdout


@pytest.mark.usefixtures("home")
def test_a_command_that_is_not_there_is_told_with_the_directory(tmp_path: Path) -> None:
    ended = jobrunner("run", "--", "./no-such.sh", cwd=tmp_path)
    assert ended.returncode == 1
    assert f"the command './no-such.sh' does not exist in {tmp_path}" in ended.stderr
