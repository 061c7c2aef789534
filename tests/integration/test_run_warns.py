import subprocess
import sys
from pathlib import Path

import pytest

JOBRUNNER = str(Path(sys.executable).parent / "jobrunner")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("limits", "warned"), [(("--memory", "512Mi"), 1), ((), 0)])
def test_limits_that_a_process_does_not_get_are_told(limits: tuple[str, ...], warned: int) -> None:
    command = [JOBRUNNER, "run", *limits, "--", "echo", "hi"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stdout == "hi\n"
    assert ended.stderr.count("Limits of memory are not enforced on a process") == warned
