"""Secrets as files: ``$JOBRUNNER_HOME/secrets/NAME/VERSION``, readable by their owner alone."""

from __future__ import annotations

import os
import re
import stat

from jobrunner.errors import NotFound, RunnerFault

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


class FileSecrets:
    """Reads versions of secrets below ``folder``. ``latest`` is the highest number."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def read(self, secret: str, version: str) -> bytes:
        """Raises NotFound, or RunnerFault for what is no plain file, cannot be read, or can be
        read by others. Never shows content."""
        if not _NAME.fullmatch(secret):
            raise NotFound(
                f"Secret '{secret}' cannot exist: a name has 1 to 255 letters, digits, '_' or '-'."
            )
        folder = os.path.join(self._folder, secret)
        chosen = self._latest(folder, secret) if version == "latest" else version
        if not chosen.isdecimal():
            raise NotFound(
                f"Version '{version}' of secret '{secret}' cannot exist: a version is a number "
                "or 'latest'."
            )
        path = os.path.join(folder, chosen)
        try:
            # A pipe that nobody writes to must not hold the runner up.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise NotFound(
                f"Version '{version}' of secret '{secret}' is not there ({error.strerror}).",
                hint=f"Put it into the file {path}, mode 0600.",
            ) from None
        except OSError as error:
            raise RunnerFault(f"Secret file {path} cannot be read: {error.strerror}.") from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RunnerFault(
                    f"Secret file {path} is not a file.",
                    hint="A version of a secret is one plain file, mode 0600.",
                )
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o077:
                raise RunnerFault(
                    f"Secret file {path} can be read by others (mode {mode:04o}).",
                    hint=f"chmod 600 {path}",
                )
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    @staticmethod
    def _latest(folder: str, secret: str) -> str:
        try:
            versions = [int(name) for name in os.listdir(folder) if name.isdecimal()]
        except OSError:
            versions = []
        if not versions:
            raise NotFound(
                f"Secret '{secret}' has no version.",
                hint=f"Put its content into the file {folder}/1, mode 0600.",
            )
        return str(max(versions))
