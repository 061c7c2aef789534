"""A real ``jobrunner serve`` with both faces, for clients that are told its addresses."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.fixtures import free_port
from tests.support.served import served


@dataclass(frozen=True)
class Running:
    """``key`` is the token of the owner; ``log`` the file with what the server says."""

    url: str
    grpc_port: int
    key: str
    log: Path


@contextmanager
def serving(home: Path, *options: str, grpc: bool = False) -> Iterator[Running]:
    """Serves ``home`` (which ``JOBRUNNER_HOME`` names too) with plain processes, for a user named
    ``you``."""
    grpc_port = free_port()
    words = ["--backend", "process", *options]
    if grpc:
        words += ["--grpc-port", str(grpc_port)]
    home.mkdir(exist_ok=True)
    with served(home, *words, env={"USER": "you"}) as server:
        key = json.loads((home / "server.json").read_text())["key"]
        yield Running(f"http://127.0.0.1:{server.port}", grpc_port, key, server.log)
        # A client may still be connected: it is broken off within the time of a SIGTERM.
        server.stop()
