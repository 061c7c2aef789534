"""The store of directories that stand for buckets: each method is one transaction, or a part of
one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists
from jobrunner.lib.database import Database, DatabaseError, Row, Session
from jobrunner.ports import Page
from triggers.core.buckets import Bucket, Known, Seen
from triggers.core.records import Unreadable
from triggers.store.documents import _encode
from triggers.store.resource_documents import BUCKET
from triggers.store.resources import _BY_NAME, _DELETE, _INSERT, _Table
from triggers.store.sql import fault

T = TypeVar("T")

_COLUMNS = "name, generation, metageneration, inode, size, mtime, mode, md5, updated"
_SELECT = f"SELECT {_COLUMNS} FROM bucket_objects WHERE bucket = ?"
_CHOSEN = f"{_SELECT} AND name IN (SELECT t FROM {{}})"
_PAGE = f"{_SELECT} AND name > ? ORDER BY name LIMIT ?"
_BELOW = "SELECT name FROM bucket_objects WHERE bucket = ? AND substr(name, 1, ?) = ?"
_PUT = (
    f"INSERT INTO bucket_objects (bucket, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (bucket, name) DO UPDATE SET generation = EXCLUDED.generation,"
    " metageneration = EXCLUDED.metageneration, inode = EXCLUDED.inode, size = EXCLUDED.size,"
    " mtime = EXCLUDED.mtime, mode = EXCLUDED.mode, md5 = EXCLUDED.md5, updated = EXCLUDED.updated"
)
_FORGET = "DELETE FROM bucket_objects WHERE bucket = ? AND name = ?"
_FORGET_ALL = "DELETE FROM bucket_objects WHERE bucket = ?"


class SqlBuckets:
    """See :class:`triggers.bucket_ports.BucketStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = _Table(database, "bucket", BUCKET)

    def find(self, scope: Scope, name: str) -> Bucket | None:
        return self._table.one(_BY_NAME, scope.project, scope.region, name)

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Bucket]:
        return self._table.page(project, region, None, page)

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Bucket | Unreadable]:
        return self._table.survey(project, region, page)

    def add(self, bucket: Bucket) -> None:
        row = ("", 1, BUCKET.encode(bucket))
        place = (bucket.uid, bucket.project, bucket.region, bucket.name)
        if not self._table.write(_INSERT, "bucket", *row, *place):
            raise AlreadyExists(f"Bucket '{bucket.name}' already exists.")

    def delete(self, uid: str) -> None:
        self._table.write(_DELETE, "bucket", uid)
        self._write(lambda s: s.execute(_FORGET_ALL, (uid,)))

    # ------------------------------------------------------------ objects

    def objects(self, uid: str, names: Sequence[str]) -> dict[str, Known]:
        texts = _encode(list(names))

        def work(session: Session) -> list[Row]:
            return session.execute(_CHOSEN.format(session.texts), (uid, texts)).fetchall()

        return {row[0]: _known(row) for row in self._read(work)}

    def page(self, uid: str, after: str, limit: int) -> Sequence[Known]:
        rows = self._read(lambda s: s.execute(_PAGE, (uid, after, limit)).fetchall())
        return [_known(row) for row in rows]

    def below(self, uid: str, prefix: str) -> Sequence[str]:
        rows = self._read(lambda s: s.execute(_BELOW, (uid, len(prefix), prefix)).fetchall())
        return [row[0] for row in rows]

    def put(self, uid: str, objects: Sequence[Known]) -> None:
        rows = [(uid, *_row(one)) for one in objects]
        self._write(lambda s: s.executemany(_PUT, rows))

    def forget(self, uid: str, names: Sequence[str]) -> None:
        rows = [(uid, name) for name in names]
        self._write(lambda s: s.executemany(_FORGET, rows))

    def _read(self, work: Callable[[Session], list[Row]]) -> list[Row]:
        try:
            return self._database.read(work)
        except DatabaseError as error:
            raise fault(error) from error

    def _write(self, work: Callable[[Session], T]) -> T:
        try:
            return self._database.write(work)
        except DatabaseError as error:
            raise fault(error) from error


def _known(row: Row) -> Known:
    name, generation, metageneration, inode, size, mtime, mode, md5, updated = row
    return Known(name, generation, metageneration, Seen(inode, size, mtime, mode), md5, updated)


def _row(one: Known) -> tuple[object, ...]:
    seen = one.seen
    return (
        one.name, one.generation, one.metageneration, seen.inode, seen.size, seen.mtime, seen.mode,
        one.md5, one.updated,
    )  # fmt: skip
