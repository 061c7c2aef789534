"""Output of attempts, read through a server: the bytes and their order are those of the files.

A place in a log is the reader's, not the server's, so reading goes on after a server was started
again. Readers that are announced (:meth:`RemoteLogs.expect`) share requests: following 64 tasks
asks once per round, not 64 times. What is read ahead is bounded, and so is memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from jobrunner.client.wire import Wire
from jobrunner.core.records import AttemptKey
from jobrunner.ports import LogChunk
from jobrunner.service.calls import Desk, LogPart, LogPlace

BATCH = 64
SIZE = 1024 * 1024
"""Bytes of output per request, about."""


class RemoteReader:
    def __init__(self, logs: RemoteLogs, key: AttemptKey, place: str = "") -> None:
        self._logs = logs
        self._key = key
        self._place = place

    def read(self) -> Iterator[LogChunk]:
        more = True
        while more:
            part = self._logs.part(self._key, self._place)
            more = part.more
            # The place is moved first: chunks of a part are here already, whatever comes next.
            self._place = part.place
            yield from part.chunks

    def place(self) -> str:
        """After the part that was fetched last."""
        return self._place


class RemoteLogs:
    """As much of a LogStore as commands read, with patience: whoever reads output goes on when the
    server is back. Belongs to one thread at a time."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._expected: list[AttemptKey] = []
        self._rank: dict[AttemptKey, int] = {}
        self._places: dict[AttemptKey, str] = {}
        self._ahead: dict[AttemptKey, tuple[str, LogPart]] = {}

    def reader(self, key: AttemptKey, place: str = "") -> RemoteReader:
        return RemoteReader(self, key, place)

    def chunks(self, key: AttemptKey) -> Iterator[LogChunk]:
        return self.reader(key).read()

    def tail(self, key: AttemptKey, size: int) -> bytes:
        with self._wire.patient():
            return self._wire.call(Desk.tail_log, key, size)

    def total_size(self) -> int:
        return self._wire.call(Desk.size_of_logs)

    def expect(self, keys: Sequence[AttemptKey]) -> None:
        """These are read next, in this order. What was read ahead before is forgotten: more may
        have come since."""
        self._ahead.clear()
        self._expected = list(keys)
        self._rank = {key: rank for rank, key in enumerate(self._expected)}
        self._places = {key: self._places[key] for key in self._rank if key in self._places}

    def part(self, key: AttemptKey, place: str) -> LogPart:
        """What comes after ``place``; fetched with that of the readers expected after this one."""
        ahead = self._ahead.pop(key, None)
        if ahead is not None and ahead[0] == place:
            found = ahead[1]
        else:
            found = self._fetch(key, place)
        if key in self._rank:
            self._places[key] = found.place
        return found

    def _fetch(self, key: AttemptKey, place: str) -> LogPart:
        wanted = [LogPlace(key, place)]
        rank = self._rank.get(key)
        if rank is not None:
            later = islice(self._expected, rank + 1, rank + BATCH)
            wanted += [
                LogPlace(other, self._places.get(other, ""))
                for other in later
                if other not in self._ahead
            ]
        with self._wire.patient():
            first, *others = self._wire.call(Desk.read_logs, wanted, SIZE)
        for want, part in zip(wanted[1:], others, strict=True):
            self._ahead[want.key] = (want.place, part)
        return first
