"""A runner's name says enough to tell, on its own machine, that it is gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jobrunner.lib import identity
from jobrunner.lib.identity import is_gone, runner_name

NAME = "from jobrunner.lib.identity import runner_name; print(runner_name('x'))"


def test_a_living_runner_is_not_gone() -> None:
    assert not is_gone(runner_name("abcde"))


def test_a_runner_whose_process_ended_is_gone() -> None:
    done = subprocess.run([sys.executable, "-c", NAME], capture_output=True, text=True, check=True)
    assert is_gone(done.stdout.strip())


def test_a_process_that_got_a_dead_runner_s_pid_does_not_revive_it() -> None:
    name = runner_name("abcde")
    head, _, tail = name.rpartition("(")
    boot, namespace, started, suffix = tail.rstrip(")").split(".")
    assert is_gone(f"{head}({boot}.{namespace}.{int(started) - 1}.{suffix})")


def test_a_process_of_another_user_that_cannot_be_looked_at_is_not_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As where /proc is mounted with hidepid: the directory is not there, the process is.
    def refuse(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    name = runner_name("abcde")
    monkeypatch.setattr(identity, "start_ticks", lambda pid: None)
    monkeypatch.setattr(os, "kill", refuse)
    assert not is_gone(name)


def test_about_a_runner_of_another_boot_machine_or_namespace_nothing_is_claimed() -> None:
    name = runner_name("abcde")
    head, _, tail = name.rpartition("(")
    _boot, namespace, started, suffix = tail.rstrip(")").split(".")
    assert not is_gone(f"{head}(00000000.{namespace}.{started}.{suffix})")
    assert not is_gone(f"{head}({_boot}.1.{started}.{suffix})")
    assert not is_gone("somebody else")
    assert str(os.getpid()) in name
