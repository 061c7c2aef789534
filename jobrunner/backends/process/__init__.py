"""Plain processes of this machine, as the runner's user, without isolation, by a supervisor."""

from jobrunner.backends.process.backend import ProcessBackend

__all__ = ["ProcessBackend"]
