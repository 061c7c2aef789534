"""Rows of what people declare for events. All kinds share a table: each is found by name, and
listed by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from jobrunner.core.records import Scope
from jobrunner.lib.database import Database, Row
from jobrunner.ports import Page
from jobrunner.transactions import Transactions
from triggers.core.records import Unreadable
from triggers.store.damage import Reader
from triggers.store.resource_documents import Document
from triggers.store.selecting import page_by_name

T = TypeVar("T")

ALL = "SELECT uid, project, region, name, document FROM resources"
SELECT = f"{ALL} WHERE kind = ?"
INSERT = (
    "INSERT INTO resources (kind, facet, version, document, uid, project, region, name)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
DELETE = "DELETE FROM resources WHERE kind = ? AND uid = ?"
_BY_NAME = f"{SELECT} AND project = ? AND region = ? AND name = ?"


class Resources(Transactions, Generic[T]):
    """What the stores of all kinds have in common."""

    kind: str
    noun: str
    """What they are called, with a capital."""
    document: Document[T]

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._reader = Reader(self.noun, lambda row: self.document.decode(row[4]))

    def find(self, scope: Scope, name: str) -> T | None:
        return self._one(_BY_NAME, *scope, name)

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[T]:
        return self._reader.readable(self._page(project, region, None, page))

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[T | Unreadable]:
        return self._reader.survey(self._page(project, region, None, page))

    def _page(
        self, project: str | None, region: str | None, facet: str | None, page: Page | None
    ) -> list[Row]:
        wanted = ("project = ?", project), ("region = ?", region), ("facet = ?", facet)
        sql, params = page_by_name(ALL, page, ("kind = ?", self.kind), *wanted)
        return self._read(lambda s: s.execute(sql, params).fetchall())

    def _rows(self, sql: str, *params: object) -> list[Row]:
        """``sql`` begins with ``SELECT``; the kind is its first parameter."""
        return self._read(lambda s: s.execute(sql, (self.kind, *params)).fetchall())

    def _one(self, sql: str, *params: object) -> T | None:
        """Raises DamagedRow."""
        found = self._rows(sql, *params)
        return self._reader.one(found[0]) if found else None

    def _run(self, sql: str, *params: object) -> int:
        """How many rows were touched."""
        return self._write(lambda s: s.execute(sql, params).rowcount)
