"""Files in a directory that stands for a bucket, as the kernel tells of them."""

import asyncio
import base64
import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.ports import Store
from jobrunner.store import open_store
from tests.support.buckets import Place, document, watch
from tests.support.events import HERE
from triggers.bucket_ports import Happening, Note, Watch, WatchFault
from triggers.core.buckets import DELETED


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite:///:memory:")
    yield opened
    opened.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    made.mkdir()
    return made


@pytest.fixture
def place(store: Store, root: Path) -> Place:
    return Place(store, root)


def unwatchable(root: str) -> Watch:
    raise WatchFault("the limit is reached", missing=False)


class Overflowing:
    """A watch that has lost what it was to tell."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def wait(self) -> None:
        await self._watch.wait()

    def take(self) -> list[Note]:
        return [Note(Happening.OVERFLOW)] if self._watch.take() else []

    def close(self) -> None:
        self._watch.close()


async def test_a_file_is_told_of_when_it_is_closed_and_not_before(place: Place) -> None:
    await place.add()
    async with place.watched():
        with (place.root / "slow.txt").open("wb", buffering=0) as file:
            file.write(b"half ")
            (place.root / "quick.txt").write_text("q")
            await place.until(lambda: ("finalized", "quick.txt") in place.heard())
            assert place.about("slow.txt") == []
            file.write(b"and half")
        await place.hears(("finalized", "quick.txt"), ("finalized", "slow.txt"))
        [told] = place.about("slow.txt")
        assert told["size"] == "13"
        md5 = hashlib.md5(b"half and half", usedforsecurity=False).digest()
        assert told["md5Hash"] == base64.b64encode(md5).decode()
        assert place.opened


async def test_each_overwriting_is_a_generation_of_its_own(place: Place) -> None:
    await place.add()
    file, clock = place.root / "a.txt", place.root.parent / "clock"

    def ticked() -> bool:
        """The same, written again before the clock of the file system ticks, is no other file."""
        clock.write_text("t")
        return clock.stat().st_mtime_ns > file.stat().st_mtime_ns

    async with place.watched():
        for number in range(3):
            file.write_text("same")
            await place.until(lambda number=number: len(place.about("a.txt")) == number + 1)  # type: ignore[misc]
            await place.until(ticked)
        generations = [int(one["generation"]) for one in place.about("a.txt")]
        assert generations == sorted(set(generations))


async def test_a_rename_into_place_is_one_event_and_one_away_is_another(place: Place) -> None:
    await place.add()
    async with place.watched():
        (place.root / "new.jpg.part").write_text("jpg")
        os.rename(place.root / "new.jpg.part", place.root / "new.jpg")
        await place.until(lambda: ("finalized", "new.jpg") in place.heard())
        os.rename(place.root / "new.jpg", place.root / "newer.jpg")
        await place.until(lambda: ("finalized", "newer.jpg") in place.heard())
        os.rename(place.root / "newer.jpg", place.root.parent / "gone.jpg")
        await place.hears(
            ("finalized", "new.jpg"), ("deleted", "new.jpg"), ("finalized", "newer.jpg"),
            ("deleted", "newer.jpg"),
        )  # fmt: skip


async def test_directories_that_come_and_go_are_told_of_with_all_that_is_in_them(
    place: Place,
) -> None:
    await place.add()
    outside = place.root.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "b").write_text("b")
    async with place.watched():
        os.rename(outside, place.root / "in")
        await place.until(lambda: ("finalized", "in/deep/b") in place.heard())
        (place.root / "in" / "deep" / "c").write_text("c")
        await place.until(lambda: ("finalized", "in/deep/c") in place.heard())
        os.rename(place.root / "in", place.root / "out")
        await place.until(lambda: len(place.said()) == 6)
        (place.root / "out" / "deep" / "d").write_text("d")
        await place.hears(
            ("finalized", "in/deep/b"), ("finalized", "in/deep/c"), ("deleted", "in/deep/b"),
            ("deleted", "in/deep/c"), ("finalized", "out/deep/b"), ("finalized", "out/deep/c"),
            ("finalized", "out/deep/d"),
        )  # fmt: skip


async def test_odd_names_are_told_of_as_they_are_and_what_is_no_text_is_left_out(
    place: Place,
) -> None:
    await place.add()
    names = ["Ü €.txt", "a b%20c.txt", "quote\"'.txt", "-rf", "[x]{y}*"]
    async with place.watched():
        (place.root / ".hidden").write_text("h")
        with open(os.fsencode(place.root) + b"/\xff.txt", "wb") as file:
            file.write(b"x")
        (place.root / "line\nbreak").write_text("n")
        for name in names:
            (place.root / name).write_text(name)
        await place.hears(*(("finalized", name) for name in names))


async def test_links_are_followed_only_if_they_are_hard_ones(place: Place) -> None:
    await place.add()
    outside = place.root.parent / "outside.txt"
    outside.write_text("o")
    async with place.watched():
        (place.root / "soft.txt").symlink_to(outside)
        (place.root / "softdir").symlink_to(place.root.parent)
        os.link(outside, place.root / "hard.txt")
        await place.hears(("finalized", "hard.txt"))


async def test_a_file_that_is_being_written_at_the_start_is_told_of_at_its_end(
    place: Place,
) -> None:
    await place.add()
    with (place.root / "slow").open("wb", buffering=0) as file:
        file.write(b"half")
        async with place.watched():
            assert place.about("slow") == []
            file.write(b" and half")
            file.close()
            await place.hears(("finalized", "slow"))
            assert place.about("slow")[0]["size"] == "13"


async def test_where_so_much_happened_that_some_is_lost_all_is_looked_through(
    place: Place,
) -> None:
    await place.add()
    async with place.watched(lambda root: Overflowing(watch(root))):
        for number in range(20):
            (place.root / f"f{number}").write_text("x")
        await place.hears(*(("finalized", f"f{number}") for number in range(20)))


async def test_a_directory_that_cannot_be_watched_is_looked_through(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.service.bucket_watching.AGAIN_SECONDS", 0.05)
    await place.add()
    async with place.watched(unwatchable):
        (place.root / "a").write_text("a")
        await place.hears(("finalized", "a"))


async def test_a_directory_that_is_away_deletes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("triggers.service.bucket_watching.AGAIN_SECONDS", 0.05)
    await place.add()
    async with place.watched():
        (place.root / "a").write_text("a")
        await place.until(lambda: ("finalized", "a") in place.heard())
        aside = place.root.parent / "aside"
        os.rename(place.root, aside)
        (aside / "b").write_text("b")
        await place.until(lambda: "is not there; its bucket waits" in caplog.text)
        os.rename(aside, place.root)
        await place.hears(("finalized", "a"), ("finalized", "b"))


async def test_what_nobody_waits_for_is_known_all_the_same(store: Store, root: Path) -> None:
    place = Place(store, root, DELETED)
    await place.add()
    (root / "a").write_text("a")
    task = asyncio.ensure_future(place.watcher().run())
    bucket = place.buckets.get(HERE, "photos")
    await place.until(lambda: bool(place.store.objects(bucket.uid, ["a"])))
    (root / "a").unlink()
    await place.until(lambda: place.heard() == [("deleted", "a")])
    task.cancel()
    assert place.about("a")[0].get("md5Hash") is None


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_what_was_told_adds_up_to_what_is_there(
    place: Place, seed: int
) -> None:
    dice = random.Random(seed)
    await place.add()
    names = ["a", "b", "d/a", "d/b", "d/e/a", "f/a"]

    def something() -> None:
        path = place.root / dice.choice(names)
        match dice.randrange(6):
            case 0 | 1:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(dice.randbytes(dice.randrange(100)))
            case 2:
                path.unlink(missing_ok=True)
            case 3 if path.exists():
                other = place.root / dice.choice(names)
                other.parent.mkdir(parents=True, exist_ok=True)
                os.rename(path, other)
            case 4:
                shutil.rmtree(place.root / dice.choice(["d", "d/e", "f"]), ignore_errors=True)
            case 5 if (place.root / "d").exists() and not (place.root / "f").exists():
                os.rename(place.root / "d", place.root / "f")

    def there() -> dict[str, str]:
        found = [path for path in place.root.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(place.root)): str(path.stat().st_size)
            for path in found
            if not path.name.endswith("-of-the-test")
        }

    def added_up() -> dict[str, str]:
        objects: dict[str, str] = {}
        for (kind, name), one in zip(place.heard(), place.told(), strict=True):
            if name.endswith("-of-the-test"):
                continue
            if kind == "deleted":
                assert name in objects, f"{name} was deleted and never there"
                del objects[name]
            else:
                objects[name] = document(one)["size"]
        return objects

    for _ in range(2):
        # Half of it while nobody watches.
        for _ in range(60):
            something()
        async with place.watched():
            for number in range(60):
                something()
                if number % 7 == 0:
                    await asyncio.sleep(0)
            await place.until(lambda: added_up() == there())
