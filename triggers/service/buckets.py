"""Use cases of directories that stand for buckets. What writes is called inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec, Violation
from jobrunner.ports import Clock, Ids, Page
from triggers.bucket_ports import BucketStore
from triggers.core.buckets import Bucket, Known, check_bucket, is_ignored
from triggers.core.cron import show
from triggers.core.records import Unreadable
from triggers.service.damaged import uid_of
from triggers.service.unknown import no_such
from triggers.sources import files


class Buckets:
    def __init__(self, store: BucketStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    def planned(self, scope: Scope, name: str, directory: str) -> tuple[Bucket, Sequence[Known]]:
        """As :meth:`set` will store it, with what is there already, which is no news. Blocks; not
        inside a transaction. Raises InvalidSpec."""
        now = self._clock.now()
        bucket = Bucket(self._ids.uid(), *scope, name, directory.rstrip("/") or "/", now)
        check_bucket(bucket)
        if files.identity(bucket.directory) is None:
            problem = f"'{show(directory)}' is no directory of this machine; make it first"
            raise InvalidSpec([Violation("directory", problem)])
        found = files.walk(bucket.directory, "", is_ignored)
        stock = [
            Known(path, seen.mtime // 1000, 1, seen, updated=now)
            for path, seen in found
            if files.is_name(path)
        ]
        return bucket, stock

    def set(self, bucket: Bucket, stock: Sequence[Known]) -> Bucket:
        """Adds it, or puts it in the place of the one of that name, unless that has the same
        directory."""
        old = self._store.find(bucket.scope, bucket.name)
        if old is not None:
            if old.directory == bucket.directory:
                return old
            self._store.delete(old.uid)
        self._store.add(bucket)
        if stock:
            self._store.put(bucket.uid, stock)
        return bucket

    def get(self, scope: Scope, name: str) -> Bucket:
        """Raises NotFound."""
        found = self._store.find(scope, name)
        if found is None:
            raise no_such("bucket", scope, name, self._store.listing(*scope))
        return found

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Bucket]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        return self._store.listing(project, region, page=page)

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Bucket | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        return self._store.survey(project, region, page=page)

    def remove(self, scope: Scope, name: str) -> None:
        """The directory stays as it is. Raises NotFound."""
        self._store.delete(uid_of(lambda: self.get(scope, name)))
