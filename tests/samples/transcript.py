"""Plays the ``console`` blocks of a page and holds what comes out against what the page shows.

A block is a transcript::

    $ command
    > its next line
    output, standard output and error together
    ...

The blocks of a page share one shell. What differs from run to run is evened out on both sides:
durations, moments, digests, the home, the random part of names (a command that uses a name shown
earlier gets the one of this run). ``...`` stands for any lines. The order of lines does not count,
because tasks run at the same time. Comments before a block say more:

``<!-- varies: step \\d+ -->``
    a regular expression for further differences
``<!-- repeats: again .* -->``
    whole lines that may come more often than shown, or not at all
``<!-- wait: COMMAND -->``
    go on when the command succeeds
``<!-- file: NAME -->``
    not a transcript but the content of that file

A page that names ports of its own has them to itself: another run of these tests waits for it.
"""

import contextlib
import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?P<notes>(?:<!--[^\n]*-->\n)*)```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOTE = re.compile(r"<!-- (\w+): (.*?) -->")
SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"
NAME = re.compile(rf"\b(?:run-{SUFFIX}-{SUFFIX}|[a-z]+-{SUFFIX})\b")
EVENED = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"), "(when)"),
    (re.compile(r"\b\d+(?:\.\d+)?(?:ms|s)\b|\b\d+m(?:\d+s\b|(?= ago\b))"), "(time)"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:[KMGT]i)?B\b"), "(size)"),
    (re.compile(r"\bsha256:[0-9a-f]{64}\b"), "(digest)"),
    (re.compile(r"-{3,}"), "---"),
    (re.compile(r"\s+"), " "),
]
OWN_PORT = re.compile(r"\b84\d\d\b")
POLL = 0.1
SHOWN_HOME = "/home/you/.local/share/jobrunner"
MARK = "-- end of step, exit code"
STEP_TIMEOUT = PATIENCE


@dataclass(frozen=True)
class Step:
    """One command and the lines that the page shows under it."""

    command: str
    shown: tuple[str, ...]
    varies: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """A block that is the content of a file."""

    name: str
    content: str


@dataclass(frozen=True)
class Wait:
    """A command that has to succeed before the next step."""

    command: str


@dataclass(frozen=True)
class Played:
    """What a command did here. ``names`` are the names of executions seen so far, in order."""

    step: Step
    output: tuple[str, ...]
    exit_code: int
    names: tuple[str, ...]


Part = Step | File | Wait


def parts_of(page: Path) -> list[Part]:
    return list(_parts(page.read_text()))


def _parts(text: str) -> Iterator[Part]:
    for block in BLOCK.finditer(text):
        notes = NOTE.findall(block["notes"])
        for kind, value in notes:
            if kind == "file":
                yield File(value, block["body"])
            if kind == "wait":
                yield Wait(value)
        if block["kind"] == "console":
            varies, repeats = (
                tuple(value for kind, value in notes if kind == name)
                for name in ("varies", "repeats")
            )
            yield from _steps(block["body"], varies, repeats)


def _steps(body: str, varies: tuple[str, ...], repeats: tuple[str, ...]) -> Iterator[Step]:
    lines = body.splitlines()
    if not lines or not lines[0].startswith("$ "):
        raise ValueError(f"a console block begins with '$ COMMAND', not with {lines[:1]}")
    starts = [at for at, line in enumerate(lines) if line.startswith("$ ")] + [len(lines)]
    for start, end in pairwise(starts):
        command = [lines[start][2:]]
        shown = start + 1
        while shown < end and lines[shown].startswith("> "):
            command.append(lines[shown][2:])
            shown += 1
        yield Step("\n".join(command), tuple(lines[shown:end]), varies, repeats)


def even(line: str, varies: tuple[str, ...] = ()) -> str:
    for pattern in varies:
        line = re.sub(pattern, "(varies)", line)
    for evened, word in EVENED:
        line = evened.sub(word, line)
    return line.strip()


def differences(
    shown: tuple[str, ...],
    seen: tuple[str, ...],
    varies: tuple[str, ...] = (),
    repeats: tuple[str, ...] = (),
) -> list[str]:
    """What the page shows and did not come, and what came and is not shown."""

    def counted(lines: tuple[str, ...]) -> Counter[str]:
        return Counter(
            even(line, varies)
            for line in lines
            if line.strip() and not any(re.fullmatch(pattern, line) for pattern in repeats)
        )

    wanted, came = counted(shown), counted(seen)
    open_ended = wanted.pop("...", 0) > 0
    missing = [f"shown, but did not come: {line}" for line in (wanted - came).elements()]
    if open_ended:
        return missing
    return missing + [f"came, but is not shown: {line}" for line in (came - wanted).elements()]


class Shell:
    """One bash for the whole page, with this interpreter's programs first on its path."""

    def __init__(self, cwd: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "USER": "you", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        # What was wanted of the tests of this house is no wish of those that a page runs.
        env.pop("PYTEST_ADDOPTS", None)
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._rest = b""

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def run(self, command: str) -> tuple[tuple[str, ...], int]:
        """The lines of both streams, and the exit code (which ``$?`` of the next command finds)."""
        assert self._process.stdin is not None
        script = (
            f"{{ {command}\n}} </dev/null\n"
            f"__code=$?; printf '\\n%s %d\\n' '{MARK}' $__code; (exit $__code)\n"
        )
        self._process.stdin.write(script.encode())
        self._process.stdin.flush()
        return self._read_step(command)

    def wait_for(self, command: str) -> None:
        deadline = time.monotonic() + STEP_TIMEOUT
        while self.run(f"{command} >/dev/null 2>&1")[1] != 0:
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {STEP_TIMEOUT:g} s: {command}")
            time.sleep(POLL)

    def _read_step(self, command: str) -> tuple[tuple[str, ...], int]:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + STEP_TIMEOUT
        end = re.compile(rb"\n" + MARK.encode() + rb" (\d+)\n")
        while (match := end.search(self._rest)) is None:
            ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(descriptor, 65536) if ready else b""
            if not piece:
                why = "the shell ended" if ready else f"no end after {STEP_TIMEOUT:g} s"
                raise AssertionError(f"{why}: {command}\n{self._rest.decode(errors='replace')}")
            self._rest += piece
        output = self._rest[: match.start()].decode(errors="replace")
        output = output.replace(os.environ["JOBRUNNER_HOME"], SHOWN_HOME)
        self._rest = self._rest[match.end() :]
        return tuple(output.splitlines()), int(match[1])


def play(page: Path, cwd: Path) -> list[Played]:
    """Runs all commands of ``page`` in ``cwd``. Fails where the page shows something else."""
    names: dict[str, str] = {}
    played: list[Played] = []

    def here(text: str) -> str:
        return NAME.sub(lambda found: names.get(found[0], found[0]), text)

    own = OWN_PORT.search(page.read_text()) is not None
    with alone("ports") if own else contextlib.nullcontext(), Shell(cwd) as shell:
        for part in parts_of(page):
            if isinstance(part, File):
                (cwd / part.name).write_text(part.content)
                continue
            if isinstance(part, Wait):
                shell.wait_for(part.command)
                continue
            output, code = shell.run(here(part.command))
            bind_names(names, "\n".join(part.shown), "\n".join(output))
            found = differences(tuple(map(here, part.shown)), output, part.varies, part.repeats)
            if found:
                raise AssertionError(
                    f"{page.name} is not what one sees\n$ {here(part.command)}\n"
                    + "\n".join(found)
                    + "\n-- all that came --\n"
                    + "\n".join(output)
                    + f"\n-- exit code {code} --"
                )
            played.append(Played(part, output, code, tuple(names.values())))
    return played


@contextlib.contextmanager
def alone(what: str) -> Iterator[None]:
    """Keeps other runs of these tests from what this machine has once, under the page's name."""
    with (Path(tempfile.gettempdir()) / f"jobrunner-samples-{what}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def bind_names(names: dict[str, str], shown: str, seen: str) -> None:
    """Pairs names that are new on the page with names that are new here, by first appearance."""
    new_shown = [name for name in dict.fromkeys(NAME.findall(shown)) if name not in names]
    known = set(names.values())
    new_seen = [name for name in dict.fromkeys(NAME.findall(seen)) if name not in known]
    names.update(zip(new_shown, new_seen, strict=False))
