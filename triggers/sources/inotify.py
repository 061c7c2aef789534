"""Tells what happens to files below a directory, by inotify of the kernel.

A directory that appears is watched before it is told of, so that whoever looks through it then
misses nothing. Symbolic links are not followed. Linux only.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator

from triggers.bucket_ports import Happening, Note, WatchFault

_CLOSE_WRITE, _ATTRIB, _CREATE, _DELETE = 0x8, 0x4, 0x100, 0x200
_MOVED_FROM, _MOVED_TO, _DELETE_SELF, _MOVE_SELF = 0x40, 0x80, 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED, _ISDIR = 0x2000, 0x4000, 0x8000, 0x40000000
_ONLYDIR, _DONT_FOLLOW, _EXCL_UNLINK = 0x1000000, 0x2000000, 0x4000000
_MASK = (
    _CLOSE_WRITE | _ATTRIB | _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO | _DELETE_SELF
    | _MOVE_SELF | _ONLYDIR | _DONT_FOLLOW | _EXCL_UNLINK
)  # fmt: skip
_HEAD = struct.Struct("iIII")
_READ = 256 * 1024

_libc = ctypes.CDLL(None, use_errno=True)

Skip = Callable[[str], bool]


class Inotify:
    """One for a tree. ``skip`` says of a path below ``root`` that it is not looked at."""

    def __init__(self, root: str, skip: Skip) -> None:
        """Raises WatchFault. Walks the whole tree: not for the event loop."""
        self._root = os.fsencode(root)
        self._skip = skip
        self._paths: dict[int, bytes] = {}
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _fault(root)
        try:
            self._add(b"")
            self._add_below(b"")
        except BaseException:
            self.close()
            raise

    async def wait(self) -> None:
        """Until something has happened."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._fd, self._news.set)
        await self._news.wait()

    def take(self) -> list[Note]:
        """What has happened since it was asked last. Raises WatchFault where a new directory
        cannot be watched."""
        self._news.clear()
        try:
            raw = os.read(self._fd, _READ)
        except BlockingIOError:
            return []
        found: list[Note] = []
        for wd, mask, name in _events(raw):
            found += self._noted(wd, mask, name)
        return found

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
            self._loop = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # ------------------------------------------------------------ what is said

    def _noted(self, wd: int, mask: int, name: bytes) -> list[Note]:
        if mask & _OVERFLOW:
            return [Note(Happening.OVERFLOW)]
        if mask & _IGNORED:
            self._paths.pop(wd, None)
            return []
        above = self._paths.get(wd)
        if above is None:
            return []
        if mask & (_UNMOUNT | _DELETE_SELF | _MOVE_SELF):
            return [Note(Happening.ROOT_GONE)] if not above else []
        if not name:
            return []
        path = above + b"/" + name if above else name
        text = os.fsdecode(path)
        if self._skip(text):
            return []
        if mask & _ISDIR:
            return self._noted_directory(mask, path, text)
        if mask & (_DELETE | _MOVED_FROM):
            return [Note(Happening.GONE, text)]
        if mask & (_CLOSE_WRITE | _MOVED_TO):
            return [Note(Happening.COMPLETE, text)]
        if mask & _CREATE:
            return [Note(Happening.CREATED, text)]
        return [Note(Happening.ATTRIBUTES, text)] if mask & _ATTRIB else []

    def _noted_directory(self, mask: int, path: bytes, text: str) -> list[Note]:
        if mask & (_CREATE | _MOVED_TO):
            self._add(path)
            self._add_below(path)
            return [Note(Happening.DIRECTORY, text)]
        if mask & (_DELETE | _MOVED_FROM):
            self._forget(path)
            return [Note(Happening.DIRECTORY_GONE, text)]
        return []

    # ------------------------------------------------------------ what is watched

    def _add(self, path: bytes) -> None:
        full = os.path.join(self._root, path) if path else self._root
        wd = _libc.inotify_add_watch(self._fd, full, _MASK & ~_DONT_FOLLOW if not path else _MASK)
        if wd >= 0:
            self._paths[wd] = path
            return
        number = ctypes.get_errno()
        if path and number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            # It went again, is no directory any more, or is none of ours.
            return
        raise _fault(os.fsdecode(full))

    def _add_below(self, path: bytes) -> None:
        full = os.path.join(self._root, path) if path else self._root
        for directory, names, _ in os.walk(full):
            kept = []
            for name in names:
                below = os.path.relpath(os.path.join(directory, name), self._root)
                if not self._skip(os.fsdecode(below)) and not os.path.islink(
                    os.path.join(directory, name)
                ):
                    self._add(below)
                    kept.append(name)
            names[:] = kept

    def _forget(self, path: bytes) -> None:
        """One that was moved away would go on telling by its old name."""
        below = path + b"/"
        for wd, known in list(self._paths.items()):
            if known == path or known.startswith(below):
                _libc.inotify_rm_watch(self._fd, wd)
                del self._paths[wd]


def _events(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    place = 0
    while place + _HEAD.size <= len(raw):
        wd, mask, _, length = _HEAD.unpack_from(raw, place)
        place += _HEAD.size
        yield wd, mask, raw[place : place + length].rstrip(b"\0")
        place += length


def _fault(path: str) -> WatchFault:
    number = ctypes.get_errno()
    if number in (errno.ENOSPC, errno.EMFILE):
        limit = "max_user_watches" if number == errno.ENOSPC else "max_user_instances"
        return WatchFault(
            f"{path} cannot be watched: the limit fs.inotify.{limit} is reached", missing=False
        )
    why = os.strerror(number)
    missing = number in (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
    return WatchFault(f"{path} cannot be watched: {why.lower()}", missing=missing)
