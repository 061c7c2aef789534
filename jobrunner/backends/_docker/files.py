"""Secret files: written outside the container, mounted read-only, removed with it.

Their content is in no container's configuration. They are kept in memory where that is safe; how
that is decided: docs/explain/containers.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobrunner.ports import SecretFile

SHARED_MEMORY = "/dev/shm"
LINGER = "/var/lib/systemd/linger"
FIRST_LOGIN_UID = 1000


@dataclass(frozen=True, slots=True)
class Mounted:
    """``source`` (a directory or file of the machine) is to be seen at ``target``."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Group:
    """Files under one mount point. ``names`` are their paths below it; empty for a single file."""

    target: str
    files: tuple[tuple[str, SecretFile], ...]


def group_by_mount(files: Iterable[SecretFile]) -> tuple[Group, ...]:
    """One mount per directory, a directory inside another going with that one: a mount hides what
    the image has there, so there are as few as possible. A file in ``/`` is mounted by itself."""
    cleaned = [(posixpath.normpath(file.path), file) for file in files]
    directories = sorted({posixpath.dirname(path) for path, _ in cleaned} - {"/"})
    tops: list[str] = []
    for directory in directories:
        if not any(directory.startswith(top + "/") for top in tops):
            tops.append(directory)
    groups = [
        Group(
            top,
            tuple(
                (path[len(top) + 1 :], file) for path, file in cleaned if path.startswith(top + "/")
            ),
        )
        for top in tops
    ]
    groups += [Group(path, (("", f),)) for path, f in cleaned if posixpath.dirname(path) == "/"]
    return tuple(groups)


class SecretFiles:
    """Files of one home's containers, by container name, below ``root``. ``guard`` is a directory
    above it in a place where anybody may make one: nothing is written unless it is ours alone."""

    def __init__(self, root: str, *, guard: str | None = None) -> None:
        self.root = root
        self._guard = guard

    def write(self, container: str, files: Sequence[SecretFile]) -> tuple[Mounted, ...]:
        """Anything written earlier for ``container`` is replaced in place: a container that was
        made with these paths already still finds them. Raises OSError."""
        mounts = []
        base = os.path.join(self.root, container)
        if files:
            _close_directories(base)
            if self._guard is not None and not _is_ours(self._guard, os.getuid()):
                raise PermissionError(errno.EPERM, "it is open to other users", self._guard)
        for number, group in enumerate(group_by_mount(files)):
            place = os.path.join(base, str(number))
            for name, file in group.files:
                path = os.path.join(place, name) if name else place
                if name:
                    _open_directories(place, posixpath.dirname(name))
                _write(path, file)
            mounts.append(Mounted(place, group.target))
        return tuple(mounts)

    def remove(self, container: str) -> None:
        """Nothing happens where there are none."""
        shutil.rmtree(os.path.join(self.root, container), ignore_errors=True)
        for directory in (self.root, os.path.dirname(self.root)):
            try:
                os.rmdir(directory)
            except OSError:
                return


def _close_directories(path: str) -> None:
    """Makes what is missing on the way to ``path``, searchable by us alone."""
    if not os.path.isdir(path):
        _close_directories(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)


def _open_directories(place: str, inner: str) -> None:
    """Directories that any user of the container may search. What keeps the machine's other users
    out is the closed directory above them."""
    path = place
    for part in ["", *(inner.split("/") if inner else [])]:
        path = os.path.join(path, part) if part else path
        if not os.path.isdir(path):
            os.mkdir(path)
            os.chmod(path, 0o755)


def _write(path: str, file: SecretFile) -> None:
    temporary = path + ".new"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
        sink.write(file.content)
        os.fchmod(sink.fileno(), file.mode & 0o555)
    os.replace(temporary, path)


def choose_root(
    *, home: str, home_id: str, uid: int, lingers: bool, memory_is_usable: bool, local: bool
) -> str:
    """The directory for secret files. Memory (``/dev/shm``) for root, for system users and for
    users who linger; login managers empty it when any other user logs out, under the feet of a
    running task, and an engine elsewhere may not see it. Then: ``run/secrets`` of the home."""
    if local and memory_is_usable and (uid < FIRST_LOGIN_UID or lingers):
        return os.path.join(SHARED_MEMORY, f"jobrunner-{uid}", home_id)
    return os.path.join(home, "run", "secrets")


def secret_files(home: str, home_id: str, *, local: bool) -> SecretFiles:
    """As this machine has it. ``local``: the engine listens on a socket of this machine."""
    uid = os.getuid()
    root = choose_root(
        home=home,
        home_id=home_id,
        uid=uid,
        lingers=_lingers(uid),
        memory_is_usable=_is_tmpfs(SHARED_MEMORY) and os.access(SHARED_MEMORY, os.W_OK),
        local=local,
    )
    parent = os.path.join(SHARED_MEMORY, f"jobrunner-{uid}")
    if not root.startswith(parent + os.sep):
        return SecretFiles(root)
    if not os.path.lexists(parent) or _is_ours(parent, uid):
        return SecretFiles(root, guard=parent)
    return SecretFiles(os.path.join(home, "run", "secrets"))


def _is_ours(directory: str, uid: int) -> bool:
    """Anybody may make a directory in shared memory: one of another user's is not to be trusted."""
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return found.st_uid == uid and found.st_mode & 0o170077 == 0o040000


def _lingers(uid: int) -> bool:
    import pwd

    try:
        return os.path.exists(os.path.join(LINGER, pwd.getpwuid(uid).pw_name))
    except KeyError:
        return False


def _is_tmpfs(directory: str) -> bool:
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            fields = [line.split(" ") for line in mounts]
    except OSError:
        return False
    return any(len(f) > 2 and f[1] == directory and f[2] == "tmpfs" for f in fields)
