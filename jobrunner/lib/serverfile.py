"""``$JOBRUNNER_HOME/server.json``: where the server of a home answers, and the key of its owner.

Written by the server when it listens and removed when it ends; readable by its user only, because
the key opens every door. What a killed server leaves behind is told from a living one by the
identity of its process.

gcloud reads a key from a file that holds nothing else. Where there is one, the next server takes on
that key or puts its own there, so that what was once pointed here outlives the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import string
from dataclasses import asdict, dataclass, field

from jobrunner.lib.identity import is_gone, of_this_boot

NAME = "server.json"
GCLOUD_DIR = "gcloud"
KEY_NAME = "access-token"
KEY_BYTES = 32
KEY_LENGTH = 43
KEY_LETTERS = frozenset(string.ascii_letters + string.digits + "-_")


@dataclass(frozen=True, slots=True)
class ServerFile:
    """``endpoint`` is ``http(s)://HOST:PORT``; ``started`` the identity of the process, as
    :func:`jobrunner.lib.identity.runner_name` spells it; ``key`` the bearer token of the owner;
    ``database`` the :func:`fingerprint` of its database, empty where it does not matter."""

    endpoint: str
    pid: int
    started: str
    version: str
    key: str = field(repr=False)
    database: str = ""

    def live(self) -> bool:
        """Whether the process may still be there: surely not after another boot, or when it is
        gone; one in another pid namespace (a container) cannot be looked at and counts as alive."""
        return of_this_boot(self.started) and not is_gone(self.started)


def fingerprint(database_url: str) -> str:
    """Tells two databases apart without telling where they are (the URL may hold a password)."""
    return hashlib.sha256(database_url.encode()).hexdigest()[:16]


def path_in(home: str) -> str:
    return os.path.join(home, NAME)


def key_path_in(home: str) -> str:
    return os.path.join(home, GCLOUD_DIR, KEY_NAME)


def write(home: str, entry: ServerFile) -> None:
    """Replaces the file in one step, mode 0600. Raises OSError."""
    write_private(path_in(home), json.dumps(asdict(entry)))
    if os.path.isdir(os.path.join(home, GCLOUD_DIR)):
        write_private(key_path_in(home), entry.key)


def kept_key(home: str) -> str | None:
    """The key that gcloud was given, for the next server to take on: a gcloud that waits for an
    execution has read it and will not read it again. ``None`` where there is none, or one that
    others could have read or written, or that is no key of ours."""
    try:
        with open(key_path_in(home), encoding="ascii") as file:
            about = os.fstat(file.fileno())
            key = file.read(KEY_LENGTH + 1)
    except (OSError, ValueError):
        return None
    private = about.st_uid == os.geteuid() and not about.st_mode & 0o077
    return key if private and _is_key(key) else None


def new_key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def _is_key(text: str) -> bool:
    return len(text) == KEY_LENGTH and set(text) <= KEY_LETTERS


def write_private(path: str, text: str) -> None:
    """A file that only its owner can read, replaced in one step. Raises OSError."""
    draft = f"{path}.{os.getpid()}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)


def read(home: str) -> ServerFile | None:
    """What is there; ``None`` for no file, or one that another user or nobody sensible wrote."""
    try:
        with open(path_in(home), encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_uid not in (os.geteuid(), 0):
                return None
            found = json.load(file)
        return ServerFile(
            endpoint=str(found["endpoint"]),
            pid=int(found["pid"]),
            started=str(found["started"]),
            version=str(found["version"]),
            key=str(found["key"]),
            database=str(found.get("database", "")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(home: str, entry: ServerFile) -> None:
    """Removes the file if it is still the one of this server. Never raises."""
    if read(home) == entry:
        with contextlib.suppress(OSError):
            os.unlink(path_in(home))
