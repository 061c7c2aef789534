"""The store of directories that stand for buckets: each method is one transaction, or a part of
one."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.errors import AlreadyExists
from jobrunner.lib.database import Row, Session
from triggers.core.buckets import Bucket, Known, Seen
from triggers.store.documents import _encode
from triggers.store.resource_documents import BUCKET
from triggers.store.resource_rows import DELETE, INSERT, Resources

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


class SqlBuckets(Resources[Bucket]):
    """See :class:`triggers.bucket_ports.BucketStore`."""

    kind, noun, document = "bucket", "Bucket", BUCKET

    def add(self, bucket: Bucket) -> None:
        row = ("", 1, BUCKET.encode(bucket))
        place = (bucket.uid, bucket.project, bucket.region, bucket.name)
        if not self._run(INSERT, self.kind, *row, *place):
            raise AlreadyExists(f"Bucket '{bucket.name}' already exists.")

    def delete(self, uid: str) -> None:
        self._run(DELETE, self.kind, uid)
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


def _known(row: Row) -> Known:
    name, generation, metageneration, inode, size, mtime, mode, md5, updated = row
    return Known(name, generation, metageneration, Seen(inode, size, mtime, mode), md5, updated)


def _row(one: Known) -> tuple[object, ...]:
    seen = one.seen
    return (
        one.name, one.generation, one.metageneration, seen.inode, seen.size, seen.mtime, seen.mode,
        one.md5, one.updated,
    )  # fmt: skip
