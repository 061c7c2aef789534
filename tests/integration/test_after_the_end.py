"""What goes wrong after an execution has ended does not change how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

JOBRUNNER = str(Path(sys.executable).parent / "jobrunner")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([JOBRUNNER, "run", "--", *words], capture_output=True, text=True)


def test_retention_that_cannot_be_applied_is_a_warning(home: Path) -> None:
    stamp = home / "pruned"
    stamp.mkdir(parents=True)
    os.utime(stamp, (0, 0))
    ended = run("echo", "hi")
    assert (ended.returncode, ended.stdout) == (0, "hi\n")
    assert "Warning:" in ended.stderr
    assert "Is a directory" in ended.stderr


def test_a_supervisor_that_cannot_be_looked_at_is_a_warning(home: Path) -> None:
    strange = home / "run" / "sup" / "strange"
    strange.mkdir(parents=True)
    (strange / "note").write_text("not a supervisor")
    ended = run("echo", "hi")
    assert (ended.returncode, ended.stdout) == (0, "hi\n")
    assert "strange" in ended.stderr
