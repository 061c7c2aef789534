"""Directories that stand for buckets, over every store, with real files and the real kernel."""

import os
from pathlib import Path

import pytest

from jobrunner.errors import InvalidSpec, NotFound
from jobrunner.ports import Store
from tests.support.buckets import Place
from tests.support.events import HERE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    made.mkdir()
    return made


@pytest.fixture
def place(store: Store, root: Path) -> Place:
    return Place(store, root)


async def test_what_changed_while_nobody_watched_is_told_once(place: Place) -> None:
    for name in ("kept", "written", "deleted", "moded"):
        (place.root / name).write_text(name)
    # What was there before is no news.
    await place.add()
    async with place.watched():
        pass
    (place.root / "written").write_text("other")
    (place.root / "deleted").unlink()
    (place.root / "moded").chmod(0o600)
    (place.root / "sub").mkdir()
    (place.root / "sub" / "new").write_text("new")
    news = (
        ("finalized", "written"), ("deleted", "deleted"), ("changed", "moded"),
        ("finalized", "sub/new"),
    )  # fmt: skip
    async with place.watched():
        await place.hears(*news)
    async with place.watched():
        await place.hears(*news)


async def test_several_servers_on_one_database_tell_once(place: Place) -> None:
    await place.add()
    async with place.watched(), place.watched():
        for number in range(10):
            (place.root / f"f{number}").write_text("x")
        await place.hears(*(("finalized", f"f{number}") for number in range(10)))


async def test_a_bucket_is_there_until_it_is_removed(place: Place) -> None:
    (place.root / "a").write_text("a")
    await place.add()
    bucket = place.buckets.get(HERE, "photos")
    await place.add()
    assert place.buckets.listing(None) == [bucket]
    assert place.store.below(bucket.uid, "") == ["a"]
    await place.commit(lambda: place.buckets.remove(HERE, "photos"))
    assert place.store.below(bucket.uid, "") == []
    with pytest.raises(NotFound, match="There is no bucket 'photos'"):
        place.buckets.get(HERE, "photos")
    with pytest.raises(InvalidSpec, match="make it first"):
        place.buckets.planned(HERE, "photos", "/nowhere")


async def test_a_change_of_the_mode_is_one_of_the_metadata_and_a_new_instant_is_too(
    place: Place,
) -> None:
    await place.add()
    async with place.watched():
        path = place.root / "a.txt"
        path.write_text("a")
        await place.until(lambda: ("finalized", "a.txt") in place.heard())
        path.chmod(0o600)
        await place.until(lambda: ("changed", "a.txt") in place.heard())
        os.utime(path, (1, 1))
        await place.hears(("finalized", "a.txt"), ("changed", "a.txt"), ("changed", "a.txt"))
        assert [one["metageneration"] for one in place.about("a.txt")] == ["1", "2", "3"]
        assert len({one["generation"] for one in place.about("a.txt")}) == 1
    async with place.watched():
        assert len(place.said()) == 3
