"""A real ``jobrunner serve`` on the home of a test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobrunner.lib import serverfile
from jobrunner.lib.serverfile import ServerFile
from tests.support.commands import PROGRAM
from tests.support.waiting import until


@contextmanager
def serving(*words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """The server of JOBRUNNER_HOME while the block runs, on a free port; what it says is in
    ``serve.log`` of the home. It may be killed within."""
    home = Path(os.environ["JOBRUNNER_HOME"])
    with (home / "serve.log").open("ab") as said:
        server = subprocess.Popen(
            [*PROGRAM, "serve", "--port", "0", *words],
            stdin=subprocess.DEVNULL, stdout=said, stderr=said,
        )  # fmt: skip
    try:
        until(lambda: server.poll() is not None or announced(server.pid))
        assert server.poll() is None, (home / "serve.log").read_text()
        yield server
    finally:
        server.terminate()
        try:
            server.wait(60)
        finally:
            server.kill()
            server.wait()


def announced(pid: int) -> ServerFile | None:
    """What the server with this process has told of itself."""
    entry = serverfile.read(os.environ["JOBRUNNER_HOME"])
    return entry if entry is not None and entry.pid == pid else None
