"""The first command of the README does what the README shows."""

import re
import shlex
import sys
from pathlib import Path

from tests.samples.record import endings
from tests.samples.transcript import ROOT, Shell, bind_names, differences

README = (ROOT / "README.md").read_text()


def between(name: str, kind: str) -> str:
    pattern = rf"<!-- {name} -->\n```{kind}\n(.*?)\n```\n<!-- /{name} -->"
    (found,) = re.findall(pattern, README, re.DOTALL)
    assert isinstance(found, str)
    return found


def test_the_first_command_shows_what_the_readme_shows(copy: Path) -> None:
    # The first two parts set up an environment; this interpreter's takes its place.
    *_, run = between("run-command", "sh").split(" && ")
    assert shlex.split(run)[:2] == [".venv/bin/jobrunner", "run"]
    (copy / ".venv").symlink_to(sys.prefix)
    with Shell(copy) as shell:
        seen, code = shell.run(run)
    assert code == 0
    shown = between("run-output", "text")
    names: dict[str, str] = {}
    bind_names(names, shown, "\n".join(seen))
    ((on_page, here),) = names.items()
    assert differences(tuple(shown.replace(on_page, here).splitlines()), seen) == []
    assert endings(here) == {index: [("SUCCEEDED", 0)] for index in range(10)}
