"""Whether a home is its owner's alone: whoever can write to it can run programs as its owner."""

from __future__ import annotations

import os
import stat

from jobrunner.errors import Refused, RunnerFault


def check_home(home: str) -> None:
    """Makes ``home`` if it is not there. Raises Refused if others own it or may write to it, and
    RunnerFault if it cannot be used."""
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        found = os.stat(home)
    except OSError as error:
        raise RunnerFault(
            f"The home directory {home} cannot be used: {error.strerror}.",
            hint="Set JOBRUNNER_HOME to a directory you may write to.",
        ) from None
    if found.st_uid != os.geteuid():
        raise Refused(
            f"The home directory {home} belongs to another user ({_user(found.st_uid)}), and you"
            f" are {_user(os.geteuid())}.",
            hint="Run jobrunner as its owner, or set JOBRUNNER_HOME to a directory of your own.",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(
            f"Other users may write to the home directory {home}"
            f" (its mode is {stat.S_IMODE(found.st_mode):04o}), so they could run programs as you.",
            hint=f"Take that away: chmod go-w {home}",
        )


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
