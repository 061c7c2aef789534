"""The floor: a bare C loop of posix_spawn and waitpid."""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.measure import Failed, Sample, watch
from harness.place import spawnloop
from harness.product import TRUE, Homes


def spawn_loop(
    homes: Homes,
    tasks: int,
    parallelism: int,
    command: Sequence[str] = TRUE,
    *,
    log_files: bool = True,
) -> Sample:
    """With ``log_files`` the loop makes one new log file per task, else output is thrown away."""
    scratch = homes.logs()
    logs = str(scratch) if log_files else "none"
    watched = watch([spawnloop(), str(tasks), str(parallelism), logs, *command], scratch=scratch)
    said = json.loads(watched.stdout)
    if said["failed"] or said["tasks"] != tasks:
        raise Failed(f"the C loop says {said}")
    return watched.sample(said["seconds"], tasks)
