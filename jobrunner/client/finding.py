"""Which server the command line speaks to, if any.

``JOBRUNNER_ENDPOINT`` wins; else the file that the server of this home has written, if its process
lives. A database named by ``JOBRUNNER_DATABASE_URL`` that is not the server's is worked on alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from jobrunner.errors import UsageError
from jobrunner.lib import serverfile

VARIABLE, TOKEN = "JOBRUNNER_ENDPOINT", "JOBRUNNER_TOKEN"
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``pid`` is known of the server of this home only; ``None`` for one that a variable names."""

    scheme: str
    host: str
    port: int
    token: str = field(default="", repr=False)
    pid: int | None = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def find_server(env: Mapping[str, str], home: str) -> Endpoint | None:
    """``None``: the command line works alone. Raises UsageError for a bad ``JOBRUNNER_ENDPOINT``;
    does not ask whether the server answers."""
    named = env.get(VARIABLE)
    token = env.get(TOKEN, "")
    if named:
        return parse_endpoint(named, token, VARIABLE)
    found = serverfile.read(home)
    if found is None or not found.live():
        return None
    own = env.get("JOBRUNNER_DATABASE_URL")
    if own and found.database and serverfile.fingerprint(own) != found.database:
        return None
    return parse_endpoint(found.endpoint, found.key or token, serverfile.path_in(home), found.pid)


def parse_endpoint(text: str, token: str, where: str, pid: int | None = None) -> Endpoint:
    """Raises UsageError naming ``where`` the text was found and the allowed form."""
    form = "it is http://HOST:PORT or https://HOST:PORT"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"{where}: '{text}' is no endpoint; {form}") from None
    if parts.username or parts.password:
        raise UsageError(f"{where}: an endpoint holds no password; set {TOKEN} instead")
    rest = parts.path.rstrip("/") or parts.query or parts.fragment
    if parts.scheme not in PORTS or not host or rest:
        raise UsageError(f"{where}: '{text}' is no endpoint; {form}")
    if not token.isascii() or not token.isprintable():
        raise UsageError(f"{TOKEN}: it holds characters that no token has")
    return Endpoint(parts.scheme, host, port or PORTS[parts.scheme], token, pid)


def finder(env: Mapping[str, str], home: str) -> Finder:
    return Finder(dict(env), os.path.abspath(home))


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks again each time it is called: a server that was started anew may be elsewhere."""

    env: Mapping[str, str] = field(repr=False)
    home: str

    def __call__(self) -> Endpoint | None:
        return find_server(self.env, self.home)
