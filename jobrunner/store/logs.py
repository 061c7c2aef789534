"""Output of attempts, in files of this machine: ``DIRECTORY/EXECUTION_UID/INDEX.NUMBER.log``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence

from jobrunner.core.records import AttemptKey
from jobrunner.lib.framelog import FrameReader
from jobrunner.ports import LogChunk


class FileReader:
    """One attempt's log, read from where the last call stopped."""

    def __init__(self, base: str, place: str = "") -> None:
        self._frames = FrameReader(base, place)

    def read(self) -> Iterator[LogChunk]:
        for frame in self._frames.read():
            yield LogChunk(frame.at, frame.stream, frame.data, frame.dropped)

    def place(self) -> str:
        return self._frames.place()


class FileLogs:
    """A LogStore on files in the format of :mod:`jobrunner.lib.framelog`. ``directory`` is created,
    readable by its owner only, when the first log needs it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._made: str | None = None

    def dir_for(self, execution: str) -> str:
        return os.path.join(self._directory, execution)

    def path_for(self, key: AttemptKey) -> str:
        if self._made != key.execution:
            # Remembered for one execution only: a log directory may be removed at any time later.
            os.makedirs(self.dir_for(key.execution), mode=0o700, exist_ok=True)
            self._made = key.execution
        return self._base(key)

    def _base(self, key: AttemptKey) -> str:
        return os.path.join(self._directory, key.execution, f"{key.index}.{key.number}")

    def reader(self, key: AttemptKey, place: str = "") -> FileReader:
        return FileReader(self._base(key), place)

    def expect(self, keys: Sequence[AttemptKey]) -> None:
        """Files are near: nothing is read ahead."""

    def chunks(self, key: AttemptKey) -> Iterator[LogChunk]:
        return self.reader(key).read()

    def tail(self, key: AttemptKey, size: int) -> bytes:
        """Reads the whole log (bounded by its cap) but holds no more than about ``size`` bytes."""
        kept: list[bytes] = []
        total = 0
        for chunk in self.chunks(key):
            if not chunk.data:
                continue
            kept.append(chunk.data)
            total += len(chunk.data)
            while total - len(kept[0]) >= size:
                total -= len(kept.pop(0))
        return b"".join(kept)

    def delete(self, execution: str) -> None:
        if execution in ("", ".", "..") or os.sep in execution:
            raise ValueError(f"not the uid of an execution: {execution!r}")
        shutil.rmtree(self.dir_for(execution), ignore_errors=True)
        if self._made == execution:
            self._made = None

    def size(self, execution: str) -> int:
        """Bytes on disk; 0 for an execution without output."""
        try:
            with os.scandir(self.dir_for(execution)) as entries:
                return sum(_size(entry) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def total_size(self) -> int:
        try:
            executions = os.listdir(self._directory)
        except FileNotFoundError:
            return 0
        return sum(self.size(execution) for execution in executions)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
