"""Which engine to talk to, found as the ``docker`` command finds it.

``DOCKER_HOST`` wins, then ``DOCKER_CONTEXT``, then the current context of the user's docker
configuration, then the usual socket. The SDK is asked only where a context is named: importing it
costs more than a small run.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from jobrunner.backends._docker.http import Connect, Streams
from jobrunner.errors import BackendFault

DEFAULT_SOCKET = "/var/run/docker.sock"
PLAIN_PORT = 2375
ALLOWED = "unix:///PATH and tcp://HOST:PORT (without TLS)"


class BadEndpoint(BackendFault):
    """The engine's address has a form that is not supported."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``url`` as the SDK takes it; either ``socket`` (a path) or ``host`` and ``port``."""

    url: str
    socket: str | None = None
    host: str = ""
    port: int = 0

    def connector(self) -> Connect:
        async def connect() -> Streams:
            if self.socket is not None:
                return await asyncio.open_unix_connection(self.socket)
            return await asyncio.open_connection(self.host, self.port)

        return connect


def find_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """Raises BadEndpoint, naming the variable or context, the value and the allowed forms."""
    host = environ.get("DOCKER_HOST")
    if host:
        return parse_endpoint(host, "DOCKER_HOST", tls=bool(environ.get("DOCKER_TLS_VERIFY")))
    context = environ.get("DOCKER_CONTEXT") or _current_context(environ)
    if context and context != "default":
        url, tls = _from_context(context)
        return parse_endpoint(url, f"Docker context '{context}'", tls=tls)
    return Endpoint(f"unix://{DEFAULT_SOCKET}", socket=DEFAULT_SOCKET)


def parse_endpoint(url: str, source: str, *, tls: bool = False) -> Endpoint:
    """``source`` says where the value stands, for the message."""
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return Endpoint(url, socket=parts.path)
    if parts.scheme in ("tcp", "http"):
        if tls:
            raise BadEndpoint(
                f"{source}: '{url}' asks for TLS, which is not supported; use {ALLOWED}.",
                hint="Forward the engine's socket (ssh -L /tmp/docker.sock:/var/run/docker.sock "
                "HOST) and set DOCKER_HOST=unix:///tmp/docker.sock.",
            )
        try:
            port = parts.port or PLAIN_PORT
        except ValueError:
            port = 0
        if parts.hostname and port and not parts.path.strip("/"):
            return Endpoint(f"tcp://{parts.netloc}", host=parts.hostname, port=port)
    hint = None
    if parts.scheme == "ssh":
        hint = (
            f"Forward the engine's socket (ssh -L /tmp/docker.sock:{DEFAULT_SOCKET} "
            f"{parts.netloc}) and set DOCKER_HOST=unix:///tmp/docker.sock."
        )
    raise BadEndpoint(f"{source}: '{url}' is not supported; use {ALLOWED}.", hint=hint)


def config_dir(environ: Mapping[str, str]) -> str:
    return environ.get("DOCKER_CONFIG") or os.path.join(
        environ.get("HOME") or os.path.expanduser("~"), ".docker"
    )


def _current_context(environ: Mapping[str, str]) -> str | None:
    try:
        with open(os.path.join(config_dir(environ), "config.json"), encoding="utf-8") as file:
            value = json.load(file).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None


def _from_context(name: str) -> tuple[str, bool]:
    """(url, whether it wants TLS) of a context of the user's docker configuration."""
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        context = ContextAPI.get_context(name)
    except (DockerException, OSError, ValueError) as error:
        raise BadEndpoint(f"Docker context '{name}' cannot be read: {error}") from None
    if context is None:
        raise BadEndpoint(
            f"Docker context '{name}' does not exist.", hint="docker context ls shows which do."
        )
    return str(context.Host).removeprefix("http+"), context.TLSConfig is not None
