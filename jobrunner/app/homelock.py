"""One server per home on SQLite: a lock that the kernel takes away when its holder dies."""

from __future__ import annotations

import fcntl
import os

from jobrunner.errors import Refused, RunnerFault
from jobrunner.lib import serverfile

NAME = "server.lock"


class HomeLock:
    """Held until :meth:`release`, or until this process ends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def take(cls, home: str) -> HomeLock:
        """Raises Refused, naming the server that holds it."""
        path = os.path.join(home, NAME)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RunnerFault(f"{path} cannot be opened: {error.strerror}.") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise already_served(home) from None
        except OSError as error:
            os.close(handle)
            raise RunnerFault(f"{path} cannot be locked: {error.strerror}.") from None
        return cls(handle)

    def release(self) -> None:
        os.close(self._handle)


def already_served(home: str) -> Refused:
    """What to say to a second server of a home."""
    found = serverfile.read(home)
    who = (
        f"process {found.pid} at {found.endpoint}" if found and found.live() else "another process"
    )
    return Refused(
        f"A server of the home {home} runs already: {who}.",
        hint="Use it, stop it first, or choose another --home.",
    )


def living_server(home: str) -> serverfile.ServerFile | None:
    found = serverfile.read(home)
    return found if found is not None and found.live() and found.pid != os.getpid() else None
