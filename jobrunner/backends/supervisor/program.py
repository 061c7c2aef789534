"""From the words of a command to the file to execute, and from a refused start to its reason."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

POINTER = struct.calcsize("P")
DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"

_TRANSIENT = frozenset(
    {
        errno.EAGAIN,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ETXTBSY,
        errno.EINTR,
        errno.EIO,
        errno.ENOSPC,
    }
)


class Refusal(NamedTuple):
    """Why an attempt was not started. ``permanent``: trying the same again is pointless."""

    permanent: bool
    reason: str
    message: str


def show(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def find(name: bytes, env: Mapping[bytes, bytes]) -> bytes | Refusal:
    """The file that ``name`` means in the current directory, by the child's own PATH."""
    if b"/" in name:
        return name
    path = env.get(b"PATH", DEFAULT_PATH)
    blocked = b""
    for directory in path.split(b":") if name else ():
        file = os.path.join(directory or b".", name)
        if os.path.isfile(file):
            if os.access(file, os.X_OK):
                return file
            blocked = blocked or file
    if blocked:
        return not_executable(blocked)
    return Refusal(
        True,
        "CommandNotFound",
        f"the command '{show(name)}' was not found in PATH ({show(path)})",
    )


def not_executable(file: bytes) -> Refusal:
    return Refusal(
        True, "CommandNotExecutable", f"the command '{show(file)}' is not an executable file"
    )


def enter(directory: str) -> Refusal | None:
    """Makes ``directory`` the current one."""
    try:
        os.chdir(directory)
    except OSError as error:
        shown = directory.encode("utf-8", "replace").decode()
        return Refusal(
            error.errno not in _TRANSIENT,
            "WorkingDirectoryUnusable",
            f"the working directory '{shown}' cannot be entered: {error.strerror}",
        )
    except ValueError:
        return Refusal(
            True, "WorkingDirectoryUnusable", "the working directory's name holds a null byte"
        )
    return None


def here() -> str:
    """The current directory, for people: it may have been removed."""
    try:
        return os.getcwd()
    except OSError:
        return "a directory that is gone"


def too_many_files(file: bytes) -> Refusal:
    return Refusal(
        False,
        "TooManyOpenFiles",
        f"the command '{show(file)}' cannot be started now: the limit of open files (ulimit -Hn)"
        " is reached; lower the parallelism or raise the limit",
    )


def size_of(file: bytes, argv: Sequence[bytes], env: Mapping[bytes, bytes]) -> int:
    """What the kernel counts against its limit: every text with the byte that ends it, a pointer to
    each, and the name of the file."""
    texts = sum(len(word) + 1 for word in argv)
    texts += sum(len(name) + len(value) + 2 for name, value in env.items())
    return texts + POINTER * (len(argv) + len(env) + 2) + len(file) + 1


def explain(error: OSError | ValueError, file: bytes, size: int) -> Refusal:
    """Why the kernel or Python refused to start ``file``; ``size`` is what
    :func:`size_of` says."""
    name = show(file)
    if isinstance(error, ValueError):
        return Refusal(
            True,
            "InvalidCommand",
            f"the command '{name}' cannot be started: {error} (no argument and no environment"
            " entry may hold a null byte, no name a '=')",
        )
    if error.errno == errno.ENOENT:
        if os.path.exists(file):
            return Refusal(
                True,
                "CommandNotExecutable",
                f"the command '{name}' cannot be started: the interpreter named in its first line"
                " or its program loader does not exist",
            )
        where = "" if os.path.isabs(file) else f" in {here()}"
        return Refusal(True, "CommandNotFound", f"the command '{name}' does not exist{where}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EISDIR):
        return not_executable(file)
    if error.errno == errno.ENOEXEC:
        return Refusal(
            True,
            "CommandNotExecutable",
            f"the command '{name}' is no program for this machine, and no script either: its first"
            " line does not begin with '#!'",
        )
    if error.errno == errno.E2BIG:
        return Refusal(
            True,
            "CommandTooLong",
            f"the command '{name}' cannot be started: its arguments and environment ({size} bytes)"
            " are longer than the kernel allows",
        )
    if error.errno == errno.EMFILE:
        return too_many_files(file)
    if error.errno == errno.EAGAIN:
        return Refusal(
            False,
            "TooManyProcesses",
            f"the command '{name}' cannot be started now: the limit of processes (ulimit -u, or"
            " the cgroup's pids.max) is reached",
        )
    return Refusal(
        error.errno not in _TRANSIENT,
        "LaunchFailed",
        f"the command '{name}' cannot be started: {error.strerror}",
    )
