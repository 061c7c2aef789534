"""Directories that stand for buckets: what a change of a file means for the object of its name.

A file is told of when it is complete. What is compared is what a file system says of it (inode,
size, instant of change, mode), and its content where that does not settle the matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec
from triggers.core.cron import show
from triggers.core.envelopes import format_millis
from triggers.core.events import CloudEvent
from triggers.core.google_events import OBJECT, object_document, object_event

FINALIZED = f"{OBJECT}finalized"
DELETED = f"{OBJECT}deleted"
METADATA = f"{OBJECT}metadataUpdated"

IGNORED_ENDS = ("~", ".tmp", ".part")
"""Names under which programs write what they rename when it is complete."""
LONGEST_NAME = 1024
"""Bytes in UTF-8, as at Google."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Bucket:
    """``directory`` is absolute."""

    uid: str
    project: str
    region: str
    name: str
    directory: str
    created_at: float = 0.0

    @property
    def scope(self) -> Scope:
        return Scope(self.project, self.region)


def check_bucket(bucket: Bucket) -> None:
    """Raises InvalidSpec with every violation."""
    problems = Problems()
    if not _NAME.fullmatch(bucket.name):
        form = "allowed: 3 to 222 of a-z, 0-9, '-', '_' and '.', a letter or digit at both ends"
        problems.add("name", f"'{show(bucket.name)}' is not a name of a bucket; {form}")
    directory = bucket.directory
    if not directory.startswith("/") or "\0" in directory:
        problems.add("directory", f"'{show(directory)}' is not an absolute path")
    if problems.violations:
        raise InvalidSpec(problems.violations)


# ---------------------------------------------------------------- files


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it is. ``inode`` is a number as text, ``mtime`` in nanoseconds."""

    inode: str
    size: int
    mtime: int
    mode: int


@dataclass(frozen=True, slots=True)
class Known:
    """An object as it was last told of. ``md5`` is in base64, empty if nobody has read it."""

    name: str
    generation: int
    metageneration: int
    seen: Seen
    md5: str = ""
    updated: float = 0.0


class Cause(StrEnum):
    """Why a file is looked at."""

    COMPLETE = "complete"
    """It was closed after writing, or came here under its name."""
    ATTRIBUTES = "attributes"
    """Its mode or instants were changed; somebody may be writing it."""
    LOOK = "look"
    """All files are looked at."""


class Verdict(StrEnum):
    NOTHING = "nothing"
    WRITTEN = "written"
    CHANGED = "changed"
    """Its metadata."""
    WRITTEN_IF_OTHER = "written if other"
    """If its content is not the one that is known."""
    CHANGED_IF_SAME = "changed if same"
    """If its content is the one that is known; otherwise somebody is at it."""


def verdict(known: Known | None, seen: Seen, cause: Cause) -> Verdict:
    """What has happened to a file."""
    if known is None:
        return Verdict.NOTHING if cause is Cause.ATTRIBUTES else Verdict.WRITTEN
    before = known.seen
    moded = Verdict.CHANGED if before.mode != seen.mode else Verdict.NOTHING
    if (before.inode, before.size, before.mtime) == (seen.inode, seen.size, seen.mtime):
        # Clocks of file systems tick slowly: what was written at once looks the same.
        if cause is Cause.COMPLETE and known.md5 and moded is Verdict.NOTHING:
            return Verdict.WRITTEN_IF_OTHER
        return moded
    if cause is not Cause.ATTRIBUTES:
        return Verdict.WRITTEN
    same = (before.inode, before.size) == (seen.inode, seen.size) and known.md5
    return Verdict.CHANGED_IF_SAME if same else Verdict.NOTHING


def is_ignored(name: str) -> bool:
    """Whether a path below the directory is no object: hidden, or not complete by its name."""
    parts = name.split("/")
    return any(part.startswith(".") for part in parts) or parts[-1].endswith(IGNORED_ENDS)


# ---------------------------------------------------------------- events


def event_of(
    bucket: Bucket, event_type: str, known: Known, content_type: str, at: float
) -> CloudEvent:
    """Of an object as it is now, or as it was when it was deleted. Raises InvalidEvent for names
    that no event can bear."""
    document = object_document(
        bucket.name,
        known.name,
        str(known.generation),
        size=known.seen.size,
        content_type=content_type,
        updated=known.generation / 1_000_000,
        md5=known.md5,
    )
    document["metageneration"] = str(known.metageneration)
    if event_type == METADATA:
        document["updated"] = format_millis(at)
    if event_type == DELETED:
        document["timeDeleted"] = format_millis(at)
    kind = event_type.removeprefix(OBJECT)
    event_id = f"{bucket.uid}-{known.generation}-{known.metageneration}-{kind}"
    return object_event(event_type, bucket.name, known.name, document, event_id, format_millis(at))
