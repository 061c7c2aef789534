"""What a change of a file means for the object of its name."""

import json
from dataclasses import replace

import pytest

from jobrunner.errors import InvalidSpec
from triggers.core.buckets import (
    DELETED,
    FINALIZED,
    METADATA,
    Bucket,
    Cause,
    Known,
    Seen,
    Verdict,
    check_bucket,
    event_of,
    is_ignored,
    verdict,
)
from triggers.sources.files import content_type

SEEN = Seen("77", 5, 1_700_000_000_000_000_000, 0o644)
KNOWN = Known("a.txt", 1_750_000_000_000_000, 1, SEEN, "md5==", 1_750_000_000.0)
BUCKET = Bucket("uid-b", "local", "us-central1", "photos", "/srv/photos")


@pytest.mark.parametrize(
    ("known", "changes", "cause", "wanted"),
    [
        (None, {}, Cause.COMPLETE, Verdict.WRITTEN),
        (None, {}, Cause.LOOK, Verdict.WRITTEN),
        (None, {}, Cause.ATTRIBUTES, Verdict.NOTHING),
        (KNOWN, {}, Cause.LOOK, Verdict.NOTHING),
        (KNOWN, {"size": 6}, Cause.LOOK, Verdict.WRITTEN),
        (KNOWN, {"mtime": 1}, Cause.LOOK, Verdict.WRITTEN),
        (KNOWN, {"inode": "78"}, Cause.COMPLETE, Verdict.WRITTEN),
        (KNOWN, {"mode": 0o600}, Cause.ATTRIBUTES, Verdict.CHANGED),
        (KNOWN, {"mode": 0o600}, Cause.LOOK, Verdict.CHANGED),
        # Somebody may be writing it.
        (KNOWN, {"size": 6}, Cause.ATTRIBUTES, Verdict.NOTHING),
        (KNOWN, {"mtime": 1}, Cause.ATTRIBUTES, Verdict.CHANGED_IF_SAME),
        (replace(KNOWN, md5=""), {"mtime": 1}, Cause.ATTRIBUTES, Verdict.NOTHING),
        # Written twice within one tick of the file system's clock.
        (KNOWN, {}, Cause.COMPLETE, Verdict.WRITTEN_IF_OTHER),
        (replace(KNOWN, md5=""), {}, Cause.COMPLETE, Verdict.NOTHING),
    ],
)
def test_what_a_look_at_a_file_means(
    known: Known | None, changes: dict[str, object], cause: Cause, wanted: Verdict
) -> None:
    assert verdict(known, replace(SEEN, **changes), cause) is wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [".x", "a/.git/b", "a.tmp", "a/b.part", "a~", ".~lock.a#"])
def test_what_is_hidden_or_not_complete_by_its_name_is_no_object(name: str) -> None:
    assert is_ignored(name)


@pytest.mark.parametrize("name", ["a", "a/b.txt", "a.tmp/b", "a b", "é/€", "part", "a.b~c"])
def test_any_other_name_is_one(name: str) -> None:
    assert not is_ignored(name)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.txt", "text/plain"),
        ("a/b.JPG", "image/jpeg"),
        ("x.tar.gz", "application/gzip"),
        ("noending", "application/octet-stream"),
    ],
)
def test_the_type_of_an_object_follows_from_its_ending(name: str, wanted: str) -> None:
    assert content_type(name) == wanted


def test_an_event_is_that_of_cloud_storage() -> None:
    known = replace(KNOWN, name="2024/Ü b.txt")
    event = event_of(BUCKET, FINALIZED, known, "text/plain", 1_750_000_000.5)
    assert event.source == "//storage.googleapis.com/projects/_/buckets/photos"
    assert (event.subject, event.attribute("bucket")) == ("objects/2024/Ü b.txt", "photos")
    assert json.loads(event.data) == {
        "kind": "storage#object",
        "id": "photos/2024/Ü b.txt/1750000000000000",
        "name": "2024/Ü b.txt",
        "bucket": "photos",
        "generation": "1750000000000000",
        "metageneration": "1",
        "contentType": "text/plain",
        "timeCreated": "2025-06-15T15:06:40.000Z",
        "updated": "2025-06-15T15:06:40.000Z",
        "timeStorageClassUpdated": "2025-06-15T15:06:40.000Z",
        "storageClass": "STANDARD",
        "size": "5",
        "md5Hash": "md5==",
    }


def test_each_event_of_an_object_has_an_id_of_its_own() -> None:
    moded = replace(KNOWN, metageneration=2)
    told = ((FINALIZED, KNOWN, 1.0), (METADATA, moded, 2.0), (DELETED, moded, 3.0))
    events = [event_of(BUCKET, kind, known, "", at) for kind, known, at in told]
    assert len({one.id for one in events}) == 3
    assert json.loads(events[1].data)["updated"] == "1970-01-01T00:00:02.000Z"
    assert json.loads(events[2].data)["timeDeleted"] == "1970-01-01T00:00:03.000Z"


@pytest.mark.parametrize(
    ("name", "directory", "field"),
    [("A", "/srv", "name"), ("ab", "/srv", "name"), ("abc", "srv", "directory")],
)
def test_a_bucket_has_a_name_as_at_google_and_an_absolute_directory(
    name: str, directory: str, field: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        check_bucket(replace(BUCKET, name=name, directory=directory))
    assert [one.field for one in refused.value.violations] == [field]
