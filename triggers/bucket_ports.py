"""What directories that stand for buckets need from the world, promised in prose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from jobrunner.core.records import Scope
from jobrunner.ports import Page
from triggers.core.buckets import Bucket, Known
from triggers.core.records import Unreadable


class Happening(StrEnum):
    """What a watch tells of."""

    COMPLETE = "complete"
    """A file was closed after writing, or was moved here."""
    CREATED = "created"
    """A name appeared; who made it may be writing still."""
    ATTRIBUTES = "attributes"
    GONE = "gone"
    DIRECTORY = "directory"
    """One appeared, maybe with all that is in it."""
    DIRECTORY_GONE = "directory gone"
    OVERFLOW = "overflow"
    """So much has happened that some of it is lost."""
    ROOT_GONE = "root gone"


@dataclass(frozen=True, slots=True)
class Note:
    """``path`` is below the directory that is watched, in the coding of file names."""

    what: Happening
    path: str = ""


class WatchFault(Exception):
    """A directory cannot be watched; ``missing`` if it cannot be read either."""

    def __init__(self, message: str, *, missing: bool) -> None:
        super().__init__(message)
        self.missing = missing


class Watch(Protocol):
    """Tells what happens in a tree from when it was made on."""

    async def wait(self) -> None:
        """Until something has happened."""
        ...

    def take(self) -> Sequence[Note]:
        """What has happened since it was asked last, in order. Raises WatchFault."""
        ...

    def close(self) -> None: ...


OpenWatch = Callable[[str], Watch]
"""Watches the tree of a directory. Raises WatchFault. Walks the tree, so it blocks."""


class BucketStore(Protocol):
    """Keeps buckets, and what was told of their objects. Each method is one transaction, or a part
    of one; raises StoreFault."""

    def find(self, scope: Scope, name: str) -> Bucket | None: ...

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Bucket]:
        """By project, region and name; ``None`` is any. ``page.after`` is PROJECT/REGION/NAME."""
        ...

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Bucket | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        ...

    def add(self, bucket: Bucket) -> None:
        """Raises AlreadyExists."""
        ...

    def delete(self, uid: str) -> None:
        """With all that is known of its objects."""
        ...

    def objects(self, uid: str, names: Sequence[str]) -> dict[str, Known]:
        """Those that are known, by name."""
        ...

    def page(self, uid: str, after: str, limit: int) -> Sequence[Known]:
        """By name, those behind ``after``."""
        ...

    def below(self, uid: str, prefix: str) -> Sequence[str]:
        """Names that begin so."""
        ...

    def put(self, uid: str, objects: Sequence[Known]) -> None: ...

    def forget(self, uid: str, names: Sequence[str]) -> None: ...
