"""Files of a directory that stands for a bucket: found, and read when nobody writes them. Blocking;
not for the event loop."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import mimetypes
import os
import signal
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from triggers.core.buckets import LONGEST_NAME, Seen

_BLOCK = 1024 * 1024
_SETSIG = 10
"""F_SETSIG, which older versions of the module do not name."""

_TYPES = mimetypes.MimeTypes()

Skip = Callable[[str], bool]


class Rest(StrEnum):
    """Whether a file is being written."""

    FREE = "free"
    BUSY = "busy"
    """Somebody has it open for writing; the close will be told of."""
    CHANGED = "changed"
    """It was another one by the time it was read."""
    UNKNOWN = "unknown"
    """The file system does not say."""


@dataclass(frozen=True, slots=True)
class Content:
    """``md5`` is in base64, empty if it was not asked for."""

    seen: Seen
    rest: Rest
    md5: str = ""


def is_name(path: str) -> bool:
    """Whether a path can be the name of an object: UTF-8, and not too long."""
    try:
        return len(path.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False


def content_type(name: str) -> str:
    """By the ending; what the machine says of endings does not count."""
    kind, encoding = _TYPES.guess_type(name)
    if encoding == "gzip":
        return "application/gzip"
    return kind or "application/octet-stream"


def walk(root: str, below: str, skip: Skip) -> Iterator[tuple[str, Seen]]:
    """Regular files and their paths below ``root``, those in its directory ``below``. Symbolic
    links are not followed."""
    top = os.path.join(root, below) if below else root
    waiting = [top]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            # It went meanwhile, or is not for us.
            continue
        with entries:
            for entry in entries:
                path = os.path.relpath(entry.path, root)
                if skip(path):
                    continue
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield path, _seen(entry.stat(follow_symlinks=False))


def look(root: str, names: Sequence[str]) -> list[tuple[str, Seen | None]]:
    """As they are now; ``None`` for what is no regular file or not there. What cannot be looked at
    is left out."""
    found: list[tuple[str, Seen | None]] = []
    for name in names:
        try:
            found.append((name, _regular(os.lstat(os.path.join(root, name)))))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                found.append((name, None))
    return found


def identity(root: str) -> tuple[int, int] | None:
    """Which directory it is; ``None`` if it is none."""
    try:
        found = os.stat(root)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def read(root: str, name: str, *, hashing: bool) -> Content | None:
    """A file, if it is a regular one that can be read."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(os.path.join(root, name), flags)
    except OSError:
        return None
    try:
        seen = _regular(os.fstat(fd))
        if seen is None:
            return None
        rest = _rest(fd)
        if rest is Rest.BUSY or not hashing:
            return Content(seen, rest)
        md5 = _md5(fd)
        again = _regular(os.fstat(fd))
        if again != seen or _rest(fd) is Rest.BUSY:
            return Content(seen, Rest.CHANGED)
        return Content(seen, rest, md5)
    except OSError:
        return None
    finally:
        os.close(fd)


def _rest(fd: int) -> Rest:
    """A lease on reading is refused while anybody has the file open for writing."""
    try:
        # Should somebody open it right now, this signal is sent, which does nothing; the usual one
        # would end the process.
        fcntl.fcntl(fd, _SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return Rest.BUSY if error.errno in (errno.EAGAIN, errno.EBUSY) else Rest.UNKNOWN
    return Rest.FREE


def _md5(fd: int) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while block := os.read(fd, _BLOCK):
        digest.update(block)
    return base64.b64encode(digest.digest()).decode()


def _regular(found: os.stat_result) -> Seen | None:
    return _seen(found) if stat.S_ISREG(found.st_mode) else None


def _seen(found: os.stat_result) -> Seen:
    return Seen(str(found.st_ino), found.st_size, found.st_mtime_ns, stat.S_IMODE(found.st_mode))
