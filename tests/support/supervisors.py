"""Looking into supervisors and at the processes around them; commands as one-line shell scripts."""

import os
from pathlib import Path

from jobrunner.backends.supervisor import place, procfs
from jobrunner.core.records import AttemptKey
from jobrunner.ports import LaunchSpec
from tests.support.backends import ProcessStage, make_template


class Processes(ProcessStage):
    """A stage on which commands are written out."""

    def run(
        self, script: str, index: int = 0, number: int = 0, *, lease: int = 1,
        own: dict[str, str] | None = None, **fields: object,
    ) -> LaunchSpec:  # fmt: skip
        """A launch of ``sh -c SCRIPT``; ``own`` is the attempt's own environment, ``fields`` are
        those of a LaunchTemplate."""
        return self.command("/bin/sh", "-c", script, index=index, number=number, lease=lease,
                            own=own, **fields)  # fmt: skip

    def command(
        self, *words: str, index: int = 0, number: int = 0, lease: int = 1,
        own: dict[str, str] | None = None, **fields: object,
    ) -> LaunchSpec:  # fmt: skip
        template = make_template(words, self.logs, **fields)
        key = AttemptKey(template.execution, index, number)
        return LaunchSpec(key, template, lease, own or {}, f"{self.logs}/{index}-{number}")

    def directories(self) -> list[Path]:
        above = Path(place.supervisors_dir(str(self.home)))
        return sorted(above.iterdir()) if above.exists() else []

    def supervisors(self) -> list[int]:
        """Process ids of the living supervisors of this home."""
        infos = [place.read_info(str(directory)) for directory in self.directories()]
        return [info["pid"] for info in infos if info is not None and alive(info["pid"])]


def alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    seen = procfs.stat(pid)
    return seen is not None and seen.state not in "ZX"


def bearing(text: str) -> list[int]:
    """Living processes whose command line holds ``text``; never ourselves."""
    found = []
    for pid in procfs.pids():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        if text.encode() in line and pid != os.getpid() and alive(pid):
            found.append(pid)
    return found
