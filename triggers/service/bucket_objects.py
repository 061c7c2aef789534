"""What has happened to the files of a bucket's directory becomes events, each once.

What is known of the objects is written with the deliveries that the events open, in one
transaction, and read again in it: a server that dies finds at its start what it has not told of,
and of several servers on one database one tells.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jobrunner.core.records import Scope
from triggers.bucket_ports import BucketStore
from triggers.core.buckets import (
    DELETED,
    FINALIZED,
    METADATA,
    Bucket,
    Cause,
    Known,
    Verdict,
    event_of,
    verdict,
)
from triggers.core.events import CloudEvent
from triggers.errors import InvalidEvent
from triggers.event_ports import Cursors
from triggers.service.crashpoints import crash_point
from triggers.service.events import Events
from triggers.service.telling import tell
from triggers.sources.files import Content, content_type

log = logging.getLogger("jobrunner.buckets")


@dataclass(frozen=True, slots=True)
class Looked:
    """A file that was read when nobody wrote it."""

    name: str
    cause: Cause
    content: Content


class BucketObjects:
    """Of one bucket. What writes is called inside a transaction, and answers with how many
    deliveries were opened, or ``None`` while another server is at it."""

    def __init__(
        self, bucket: Bucket, store: BucketStore, events: Events, cursors: Cursors
    ) -> None:
        self.bucket = bucket
        self._store = store
        self._events = events
        self._cursors = cursors
        self._cursor = f"bucket/{bucket.uid}"

    def known(self, names: Sequence[str]) -> dict[str, Known]:
        return self._store.objects(self.bucket.uid, names)

    def pages(self, limit: int) -> Iterator[Sequence[str]]:
        """The names of all objects."""
        after = ""
        while found := self._store.page(self.bucket.uid, after, limit):
            after = found[-1].name
            yield [one.name for one in found]

    def below(self, prefix: str) -> Sequence[str]:
        return self._store.below(self.bucket.uid, prefix)

    def hashed(self) -> bool:
        """Whether somebody wants to know of contents."""
        return self._events.awaited(FINALIZED)

    def take(self, looked: Sequence[Looked], now: float) -> int | None:
        last = self._cursors.take(self._cursor)
        if last is None or self._gone():
            return None if last is None else 0
        known = self.known([one.name for one in looked])
        told: list[tuple[str, Known]] = []
        for one in looked:
            before = known.get(one.name)
            kind = _settled(verdict(before, one.content.seen, one.cause), before, one.content)
            if kind is Verdict.WRITTEN:
                # In microseconds, as at Google, and one of a kind in the bucket.
                older = 0 if before is None else before.generation
                last = max(last + 1, older + 1, int(now * 1_000_000))
                after = Known(one.name, last, 1, one.content.seen, one.content.md5, now)
                told.append((FINALIZED, after))
            elif kind is Verdict.CHANGED and before is not None:
                count = before.metageneration + 1
                seen = one.content.seen
                after = replace(before, metageneration=count, seen=seen, updated=now)
                told.append((METADATA, after))
        if not told:
            return 0
        self._store.put(self.bucket.uid, [after for _, after in told])
        self._cursors.put(self._cursor, last)
        return self._tell(told, now)

    def forget(self, names: Sequence[str], now: float) -> int | None:
        """They are not there any more."""
        if self._cursors.take(self._cursor) is None:
            return None
        found = list(self.known(names).values())
        if not found or self._gone():
            return 0
        self._store.forget(self.bucket.uid, [one.name for one in found])
        return self._tell([(DELETED, one) for one in found], now)

    def _gone(self) -> bool:
        """The bucket was removed meanwhile."""
        found = self._store.find(self.bucket.scope, self.bucket.name)
        return found is None or found.uid != self.bucket.uid

    def _tell(self, told: Sequence[tuple[str, Known]], now: float) -> int:
        awaited = {kind for kind in {kind for kind, _ in told} if self._events.awaited(kind)}
        found: list[tuple[Scope, CloudEvent]] = []
        for kind, one in told:
            if kind not in awaited:
                continue
            try:
                found.append(
                    (
                        self.bucket.scope,
                        event_of(self.bucket, kind, one, content_type(one.name), now),
                    )
                )
            except InvalidEvent as error:
                log.warning("No event can tell of %r: %s", one.name, error.message)
        opened = tell(self._events, found, now)
        crash_point("bucket-in-turn")
        return opened


def _settled(kind: Verdict, known: Known | None, content: Content) -> Verdict:
    """Where the content decides, what it says."""
    same = known is not None and bool(content.md5) and known.md5 == content.md5
    match kind:
        case Verdict.WRITTEN_IF_OTHER:
            return Verdict.WRITTEN if content.md5 and not same else Verdict.NOTHING
        case Verdict.CHANGED_IF_SAME:
            return Verdict.CHANGED if same else Verdict.NOTHING
    return kind
