"""Processes are told apart by number, start and mark, never by number alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jobrunner.backends.supervisor import procfs, remains
from jobrunner.backends.supervisor.journal import Started

PREFIX = f"home-{os.getpid()}:sup:"
"""Of this process alone: a mark is looked for among all processes of the machine."""


@contextmanager
def process(mark: str = "", program: str = "pass") -> Iterator[int]:
    """A python that has said that it is up, and waits."""
    env = {"JOBRUNNER_ATTEMPT": mark} if mark else {}
    words = [sys.executable, "-c", f"{program}\nprint(flush=True)\ninput()"]
    with subprocess.Popen(words, env=env, stdin=-1, stdout=-1, start_new_session=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield child.pid
        finally:
            child.kill()


def test_a_process_with_an_odd_name_is_read_right() -> None:
    rename = "open('/proc/self/comm','w').write('a) S (b c')"
    with process(program=rename) as pid:
        seen = procfs.stat(pid)
        assert seen is not None
        assert (seen.ppid, seen.pgrp, seen.session) == (os.getpid(), pid, pid)
        assert seen.state in "SR"


def test_a_process_that_is_not_there_has_no_stat_and_no_mark() -> None:
    with process() as pid:
        pass
    assert procfs.stat(pid) is None
    assert procfs.mark(pid) is None
    assert procfs.children(pid) == []


def test_the_mark_is_read_from_the_environment() -> None:
    with process(PREFIX + "e/0/0") as marked, process() as plain:
        assert procfs.mark(marked) == PREFIX + "e/0/0"
        assert procfs.mark(plain) is None


def test_children_are_found_with_and_without_help_of_the_kernel() -> None:
    with process() as one, process() as other:
        assert {one, other} <= set(procfs.children(os.getpid()))
        assert {one, other} <= set(procfs.children_by_scan(os.getpid()))
        assert {one, other} <= set(procfs.descendants(os.getpid()))


def test_a_leftover_is_known_by_its_mark() -> None:
    with process(PREFIX + "e/0/0") as pid, process(PREFIX + "e/1/0"), process("x:y:e/0/0"):
        found = remains.leftovers(PREFIX, {"e/0/0": Started(0, 0)})
        assert set(found) == {pid}


def test_a_leftover_without_a_mark_is_known_by_number_and_start() -> None:
    with process() as pid:
        seen = procfs.stat(pid)
        assert seen is not None
        assert set(remains.leftovers(PREFIX, {"e/0/0": Started(pid, seen.ticks)})) == {pid}


def test_a_number_that_was_given_to_another_process_is_no_leftover() -> None:
    with process() as pid:
        seen = procfs.stat(pid)
        assert seen is not None
        for ticks in (seen.ticks - 100 * procfs.TICKS_PER_SECOND, seen.ticks + 100):
            assert remains.leftovers(PREFIX, {"e/0/0": Started(pid, ticks)}) == {}


def test_what_is_below_a_leftover_is_one_too() -> None:
    spawn = "import subprocess,sys; subprocess.Popen(['sleep','600'], env={}, process_group=0)"
    with process(PREFIX + "e/0/0", spawn) as pid:
        (below,) = procfs.children(pid)
        assert set(remains.leftovers(PREFIX, {"e/0/0": Started(0, 0)})) == {pid, below}
        remains.kill_leftovers(PREFIX, {"e/0/0": Started(0, 0)})
        assert remains.leftovers(PREFIX, {"e/0/0": Started(0, 0)}) == {}
