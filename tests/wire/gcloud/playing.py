"""Plays pages against the real gcloud and a real server, several at once."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.components import missing
from tests.support.pubsub import pubsub_emulator
from tests.wire.gcloud.pages import File, Names, Step, Wait, parts_of, text_of

AT_ONCE = 3
STEP_TIMEOUT = 90.0
POLL = 0.1
SHOWN_DIR = "/home/you/.local/share/jobrunner/gcloud"
CONTROL = [sys.executable, "-m", "jobrunner.cli.main"]


@dataclass(frozen=True)
class Played:
    """A step as the page has it, with the names of this run, and as it went here."""

    page: Step
    shown: Step
    seen: Step


@dataclass(frozen=True)
class Stage:
    """A server, and the variables that point gcloud at it."""

    url: str
    settings: dict[str, str]

    @classmethod
    def at(cls, url: str) -> "Stage":
        """Asks ``jobrunner gcloud`` for the variables of the server of this home."""
        said = subprocess.run(
            [*CONTROL, "gcloud", "--print-env", "json"], check=True, capture_output=True, text=True
        )
        return cls(url, json.loads(said.stdout))

    @property
    def config_dir(self) -> str:
        return self.settings["CLOUDSDK_CONFIG"]

    def env(self, project: str) -> dict[str, str]:
        kept = {"PATH": os.environ["PATH"], "HOME": self.settings["CLOUDSDK_CONFIG"]}
        plain = {"TERM": "dumb", "LC_ALL": "C.UTF-8", "TZ": "UTC", "COLUMNS": "200"}
        return {**kept, **plain, **self.settings, "CLOUDSDK_CORE_PROJECT": project}


@contextmanager
def emulated(folder: Path) -> Iterator[None]:
    """The Pub/Sub emulator for a server that is started now, on a machine that has it."""
    if missing("pubsub") is not None:
        yield
        return
    with pubsub_emulator(folder) as emulator:
        os.environ["PUBSUB_EMULATOR_HOST"] = emulator.host
        try:
            yield
        finally:
            del os.environ["PUBSUB_EMULATOR_HOST"]


def play(page: Path, stage: Stage, cwd: Path) -> list[Played]:
    """Runs all commands of a page, which has a project of its own."""
    names = Names()
    played: list[Played] = []
    env = stage.env(page.stem)
    for part in parts_of(page):
        if isinstance(part, File):
            (cwd / part.name).write_text(part.content)
        elif isinstance(part, Wait):
            wait_for(part.for_what, stage, page.stem)
        else:
            seen = run(names.here(part.command), env, cwd, stage.config_dir)
            names.bind(text_of(part), text_of(seen))
            shown = Step(
                names.here(part.command),
                tuple(map(names.here, part.stdout)),
                tuple(map(names.here, part.stderr)),
                part.exit_code,
            )
            played.append(Played(part, shown, seen))
    return played


def run(command: str, env: dict[str, str], cwd: Path, config_dir: str) -> Step:
    """One command line in a shell of its own, with nobody at its standard input. Directories are
    told as a user would see them."""
    ended = subprocess.run(
        ["bash", "-c", command], env=env, cwd=cwd, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=STEP_TIMEOUT, check=False,
    )  # fmt: skip
    stdout, stderr = (
        [line.rstrip() for line in text.replace(config_dir, SHOWN_DIR).splitlines()]
        for text in (ended.stdout, ended.stderr)
    )
    return Step(command, tuple(stdout), tuple(stderr), ended.returncode)


def wait_for(what: str, stage: Stage, project: str) -> None:
    """Until every execution of the project has ended, or one of its tasks runs."""
    deadline = time.monotonic() + STEP_TIMEOUT
    while not _is(what, _get(stage, f"/namespaces/{project}/executions")):
        if time.monotonic() > deadline:
            raise AssertionError(f"{project}: not {what} within {STEP_TIMEOUT:g} s")
        time.sleep(POLL)


def _is(what: str, listing: dict[str, Any]) -> bool:
    statuses = [item.get("status", {}) for item in listing.get("items", [])]
    if what == "settled":
        return all("completionTime" in status for status in statuses)
    if what == "ended":
        return bool(statuses) and _is("settled", listing)
    if what == "running":
        return any(status.get("runningCount", 0) > 0 for status in statuses)
    raise ValueError(f"wait for what? {what}")


def _get(stage: Stage, path: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{stage.url}/apis/run.googleapis.com/v1{path}")
    token = stage.settings.get("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE")
    if token is not None:
        request.add_header("Authorization", f"Bearer {Path(token).read_text()}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


class Players:
    """Plays pages in the background, so that one's waiting is another's work."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._stage = stage
        self._folder = folder
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._futures: dict[Path, Future[list[Played]]] = {}

    def begin(self, page: Path) -> None:
        if page not in self._futures:
            cwd = self._folder / page.stem
            cwd.mkdir(exist_ok=True)
            self._futures[page] = self._pool.submit(play, page, self._stage, cwd)

    def result(self, page: Path) -> list[Played]:
        self.begin(page)
        return self._futures[page].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
