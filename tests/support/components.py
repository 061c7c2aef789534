"""Which real components this machine has, and what happens to a test when one is missing.

A test that needs a component says ``require("docker")``. Where the component is missing the test is
skipped with the reason; with ``JOBRUNNER_TEST_REQUIRE=all`` (or a list such as
``docker,postgres``) it fails instead, so that nothing can go missing unseen in CI.
"""

import http.client
import os
import shutil
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.waiting import PATIENCE

DEFAULT_ENGINE_SOCKET = "/var/run/docker.sock"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, enough to talk to a container engine without its SDK."""

    def __init__(self, path: str, timeout: float = PATIENCE) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def engine_socket() -> str:
    """The path of the engine's socket: DOCKER_HOST where it names a unix socket, or the default."""
    host = urlsplit(os.environ.get("DOCKER_HOST", ""))
    return host.path if host.scheme == "unix" else DEFAULT_ENGINE_SOCKET


def postgres_bin() -> Path | None:
    """The directory of PostgreSQL's server programs, which Debian keeps off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for directory in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (directory / "initdb").exists():
            return directory
    return None


def _docker() -> str | None:
    connection = UnixConnection(engine_socket())
    try:
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
    except OSError as error:
        return f"no container engine answers on {engine_socket()}: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"the container engine answers /_ping with {status}"


def _postgres() -> str | None:
    return None if postgres_bin() else "PostgreSQL's initdb is not installed"


def _busybox() -> str | None:
    return None if shutil.which("busybox") else "busybox (the static one) is not installed"


def _registry() -> str | None:
    return None if shutil.which("docker-registry") else "docker-registry is not installed"


def _gcloud() -> str | None:
    return None if shutil.which("gcloud") else "gcloud is not installed"


def _pubsub() -> str | None:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return _gcloud()
    sdk = Path(gcloud).resolve().parent.parent
    if not (sdk / "platform" / "pubsub-emulator").is_dir():
        return "gcloud's component pubsub-emulator is not installed"
    return None if shutil.which("java") else "java is not installed; the Pub/Sub emulator needs it"


COMPONENTS: dict[str, Callable[[], str | None]] = {
    "busybox": _busybox,
    "docker": _docker,
    "gcloud": _gcloud,
    "postgres": _postgres,
    "pubsub": _pubsub,
    "registry": _registry,
}


@cache
def missing(name: str) -> str | None:
    """Why a component cannot be used on this machine, or None where it can."""
    return COMPONENTS[name]()


def demanded(name: str, setting: str) -> bool:
    """Whether a value of JOBRUNNER_TEST_REQUIRE says that this component must be here."""
    names = {part.strip() for part in setting.split(",") if part.strip()}
    unknown = names - COMPONENTS.keys() - {"all"}
    if unknown:
        raise ValueError(f"JOBRUNNER_TEST_REQUIRE names unknown components: {sorted(unknown)}")
    return bool(names & {name, "all"})


def require(*names: str) -> None:
    """Go on only where all these components are here; else skip, or fail where they must be."""
    for name in names:
        reason = missing(name)
        if reason is None:
            continue
        if demanded(name, os.environ.get("JOBRUNNER_TEST_REQUIRE", "")):
            pytest.fail(f"{name} is required here: {reason}", pytrace=False)
        pytest.skip(reason)
