"""Which file a command means, and what to say when it cannot be started."""

import errno
import os
from pathlib import Path

import pytest

from jobrunner.backends.supervisor import program
from jobrunner.backends.supervisor.program import Refusal


def executable(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return os.fsencode(path)


def path_of(*places: Path) -> dict[bytes, bytes]:
    return {b"PATH": b":".join(os.fsencode(place) for place in places)}


def test_the_first_match_in_path_wins(tmp_path: Path) -> None:
    first = executable(tmp_path / "a" / "work")
    executable(tmp_path / "b" / "work")
    env = path_of(tmp_path / "none", tmp_path / "a", tmp_path / "b")
    assert program.find(b"work", env) == first


def test_a_file_that_is_not_executable_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "work").write_text("")
    second = executable(tmp_path / "b" / "work")
    assert program.find(b"work", path_of(tmp_path / "a", tmp_path / "b")) == second


def test_a_directory_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a" / "work").mkdir(parents=True)
    second = executable(tmp_path / "b" / "work")
    assert program.find(b"work", path_of(tmp_path / "a", tmp_path / "b")) == second


def test_a_name_with_a_slash_is_not_searched_for() -> None:
    assert program.find(b"./work", {}) == b"./work"


def test_without_a_path_the_usual_places_are_searched() -> None:
    assert program.find(b"sh", {}) in (b"/usr/local/bin/sh", b"/usr/bin/sh", b"/bin/sh")


def test_the_only_match_without_the_right_to_execute_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("")
    found = program.find(b"work", path_of(tmp_path))
    assert found == Refusal(
        True,
        "CommandNotExecutable",
        f"the command '{tmp_path}/work' is not an executable file",
    )


@pytest.mark.parametrize("name", [b"", b"no-such"])
def test_what_is_nowhere_is_named_with_the_path(name: bytes) -> None:
    found = program.find(name, {b"PATH": b"/a:/b"})
    assert isinstance(found, Refusal)
    assert found.permanent
    assert found.message == f"the command '{name.decode()}' was not found in PATH (/a:/b)"


@pytest.mark.parametrize(
    ("number", "permanent", "reason"),
    [
        (errno.ENOENT, True, "CommandNotFound"),
        (errno.EACCES, True, "CommandNotExecutable"),
        (errno.EPERM, True, "CommandNotExecutable"),
        (errno.ENOEXEC, True, "CommandNotExecutable"),
        (errno.E2BIG, True, "CommandTooLong"),
        (errno.ELOOP, True, "LaunchFailed"),
        (errno.ENAMETOOLONG, True, "LaunchFailed"),
        (errno.EAGAIN, False, "TooManyProcesses"),
        (errno.EMFILE, False, "TooManyOpenFiles"),
        (errno.ENFILE, False, "LaunchFailed"),
        (errno.ENOMEM, False, "LaunchFailed"),
        (errno.ETXTBSY, False, "LaunchFailed"),
    ],
)
def test_what_may_pass_is_told_apart_from_what_will_not(
    number: int, permanent: bool, reason: str
) -> None:
    refusal = program.explain(OSError(number, os.strerror(number)), b"/no/such/work", 10)
    assert (refusal.permanent, refusal.reason) == (permanent, reason)
    assert "'/no/such/work'" in refusal.message


def test_what_is_too_long_is_counted_as_the_kernel_counts_it() -> None:
    """``execve(2)``: the texts with their ends, and the pointers to them."""
    pointers = 8 * (2 + 1 + 2)
    assert program.size_of(b"/bin/sh", [b"sh", b"-c"], {b"A": b"bc"}) == 8 + 3 + 3 + 5 + pointers
