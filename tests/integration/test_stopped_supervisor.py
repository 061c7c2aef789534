"""A supervisor that somebody has stopped (SIGSTOP): the run says so, and a second Ctrl-C helps."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.support.commands import alive, started
from tests.support.faults import supervisors
from tests.support.waiting import until


def test_a_run_says_what_it_waits_for_and_the_second_ctrl_c_ends_it(
    home: Path, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = f'echo $$ >> {pids}; trap "" TERM; while :; do sleep 1; done'
    with started("run", "--tasks=2", "--", "sh", "-c", script) as run:
        until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        until(lambda: supervisors(home))
        (supervisor,) = supervisors(home)
        tasks = [int(pid) for pid in pids.read_text().split()]
        os.kill(supervisor, signal.SIGSTOP)
        try:
            run.send_signal(signal.SIGINT)
            assert run.stderr is not None
            os.set_blocking(run.stderr.fileno(), False)
            said = b""

            def heard() -> bool:
                nonlocal said
                assert run.stderr is not None
                said += run.stderr.read() or b""
                return f"process {supervisor}, is stopped (state T)".encode() in said

            until(heard)
            began = time.monotonic()
            run.send_signal(signal.SIGINT)
            assert run.wait(60) == 130
            assert time.monotonic() - began < 20
            assert not any(alive(pid) for pid in tasks)
        finally:
            os.kill(supervisor, signal.SIGCONT)
    until(lambda: not supervisors(home))
