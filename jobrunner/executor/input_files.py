"""Files that an order to run has brought: where a task finds them.

A container sees them in a directory of their own, by the way that secret files take. A process is
given the path of a copy beside the logs of its execution, which goes when those go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from jobrunner.core.spec import InputFile
from jobrunner.errors import LaunchFailed
from jobrunner.ports import SecretFile

DIRECTORY = "/run/jobrunner/input"
"""In a container."""


def in_container(files: Iterable[InputFile]) -> dict[str, str]:
    """The variables that say where they are."""
    return {file.variable: f"{DIRECTORY}/{file.name}" for file in files}


def mounted(files: Iterable[InputFile]) -> tuple[SecretFile, ...]:
    return tuple(SecretFile(f"{DIRECTORY}/{file.name}", file.content) for file in files)


def on_machine(files: Iterable[InputFile], directory: str) -> dict[str, str]:
    return {file.variable: os.path.join(directory, file.name) for file in files}


def written(files: Iterable[InputFile], directory: str) -> None:
    """Writes those that are not there, each whole or not at all, readable by their owner. Raises
    LaunchFailed; it may be tried again."""
    for file in files:
        path = os.path.join(directory, file.name)
        if os.path.exists(path):
            continue
        try:
            _write(path, file.content)
        except OSError as error:
            problem = f"the file {path} cannot be written: {error.strerror}"
            raise LaunchFailed(problem, permanent=False, reason="InputFileFailed") from error


def _write(path: str, content: bytes) -> None:
    temporary = f"{path}.{os.getpid()}.new"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
        sink.write(content)
        os.fchmod(sink.fileno(), 0o400)
    os.replace(temporary, path)
