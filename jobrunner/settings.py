"""Where things are and how big they may grow: read once from the environment, passed as a value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from jobrunner.errors import UsageError

DEFAULT_SLOTS = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """``home`` is an absolute directory; ``database_url`` is ``sqlite:///PATH`` or
    ``postgresql://…`` (never shown: it may hold a password); ``slots`` is how many attempts one
    runner keeps alive at once."""

    home: str
    database_url: str = field(repr=False)
    project: str = "local"
    region: str = "us-central1"
    slots: int = DEFAULT_SLOTS
    user: str = ""

    @property
    def logs_dir(self) -> str:
        return os.path.join(self.home, "logs")

    @property
    def secrets_dir(self) -> str:
        return os.path.join(self.home, "secrets")


def from_environment(env: Mapping[str, str]) -> Settings:
    """Settings from ``JOBRUNNER_*``; raises UsageError naming the variable and the allowed form."""
    home = env.get("JOBRUNNER_HOME") or os.path.join(
        env.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share"),
        "jobrunner",
    )
    home = os.path.abspath(home)
    url = env.get("JOBRUNNER_DATABASE_URL") or f"sqlite:///{home}/jobrunner.db"
    return Settings(
        home=home,
        database_url=url,
        project=env.get("JOBRUNNER_PROJECT") or "local",
        region=env.get("JOBRUNNER_REGION") or "us-central1",
        slots=slots_from(env.get("JOBRUNNER_SLOTS"), "JOBRUNNER_SLOTS"),
        user=env.get("USER") or env.get("LOGNAME") or _account(),
    )


def _account() -> str:
    """The user's name by the account database, for a caller with a bare environment."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def slots_from(text: str | None, name: str) -> int:
    """The number of slots; ``None`` and the empty string mean the default."""
    if not text:
        return DEFAULT_SLOTS
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise UsageError(f"{name}: '{text}' is not a whole number from 1 to 10000")
    return int(text)
