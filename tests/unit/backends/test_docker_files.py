import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.backends._docker.files import (
    SecretFiles,
    choose_root,
    group_by_mount,
)
from jobrunner.ports import SecretFile


def targets(*paths: str) -> list[str]:
    return [group.target for group in group_by_mount(SecretFile(path, b"") for path in paths)]


def test_files_of_one_directory_share_a_mount() -> None:
    assert targets("/s/a", "/s/b", "/t/a") == ["/s", "/t"]


def test_a_directory_inside_another_goes_with_it() -> None:
    assert targets("/s/deep/er/a", "/s/b", "/second/c") == ["/s", "/second"]


def test_a_file_at_the_top_is_mounted_alone_and_hides_nothing() -> None:
    assert targets("/key", "/s/a") == ["/s", "/key"]


names = st.text("ab", min_size=1, max_size=2)
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.sets(paths, max_size=6))
def test_every_file_is_seen_at_its_path_and_no_mount_hides_another(wanted: set[str]) -> None:
    groups = group_by_mount([SecretFile(path, path.encode()) for path in sorted(wanted)])
    seen = {
        f"{group.target}/{name}" if name else group.target: file.content.decode()
        for group in groups
        for name, file in group.files
    }
    assert seen == {path: path for path in wanted}
    directories = [group.target for group in groups if group.files[0][0]]
    assert not any(
        one != other and one.startswith(other + "/") for one in directories for other in directories
    )


def test_files_have_their_content_and_mode_and_a_closed_directory_above(tmp_path: Path) -> None:
    files = SecretFiles(str(tmp_path / "u" / "home"))
    (mounted,) = files.write("c1", [SecretFile("/s/a", b"A", 0o400), SecretFile("/s/d/b", b"B")])
    assert mounted.target == "/s"
    first, second = Path(mounted.source) / "a", Path(mounted.source) / "d" / "b"
    assert (first.read_bytes(), first.stat().st_mode & 0o7777) == (b"A", 0o400)
    assert (second.read_bytes(), second.stat().st_mode & 0o7777) == (b"B", 0o444)
    assert (tmp_path / "u" / "home" / "c1").stat().st_mode & 0o7777 == 0o700


def test_writing_again_replaces_content_in_the_same_place(tmp_path: Path) -> None:
    files = SecretFiles(str(tmp_path / "u" / "home"))
    before = files.write("c1", [SecretFile("/s/a", b"old", 0o400)])
    after = files.write("c1", [SecretFile("/s/a", b"new", 0o400)])
    assert before == after
    assert (Path(after[0].source) / "a").read_bytes() == b"new"


def test_a_single_file_is_mounted_as_a_file(tmp_path: Path) -> None:
    (mounted,) = SecretFiles(str(tmp_path / "u" / "h")).write("c1", [SecretFile("/key", b"K")])
    assert mounted.target == "/key"
    assert Path(mounted.source).read_bytes() == b"K"


def test_removal_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    files = SecretFiles(str(tmp_path / "u" / "home"))
    files.write("c1", [SecretFile("/s/a", b"A")])
    files.write("c2", [SecretFile("/s/a", b"A")])
    files.remove("c1")
    files.remove("c1")
    assert os.listdir(tmp_path / "u" / "home") == ["c2"]
    files.remove("c2")
    assert os.listdir(tmp_path) == []


def test_every_directory_that_is_made_is_closed(tmp_path: Path) -> None:
    # One that is open would be somebody else's for the next runner, which would look elsewhere.
    before = os.umask(0o022)
    try:
        SecretFiles(str(tmp_path / "u" / "home")).write("c1", [SecretFile("/s/a", b"A")])
    finally:
        os.umask(before)
    made = [tmp_path / "u", tmp_path / "u" / "home", tmp_path / "u" / "home" / "c1"]
    assert {path.stat().st_mode & 0o7777 for path in made} == {0o700}


def test_nothing_is_written_below_a_directory_that_is_open_to_others(tmp_path: Path) -> None:
    guard = tmp_path / "u"
    guard.mkdir()
    guard.chmod(0o777)
    files = SecretFiles(str(guard / "home"), guard=str(guard))
    with pytest.raises(PermissionError):
        files.write("c1", [SecretFile("/s/a", b"A")])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_guard_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    files = SecretFiles(str(tmp_path / "u" / "home"), guard=str(tmp_path / "u"))
    (mounted,) = files.write("c1", [SecretFile("/s/a", b"A")])
    assert (Path(mounted.source) / "a").read_bytes() == b"A"


def root(**changes: object) -> str:
    facts = {
        "home": "/h", "home_id": "feed", "uid": 0, "lingers": False, "memory_is_usable": True,
        "local": True,
    }  # fmt: skip
    return choose_root(**{**facts, **changes})  # type: ignore[arg-type]


def test_secrets_stay_in_memory_where_nobody_empties_it() -> None:
    assert root() == "/dev/shm/jobrunner-0/feed"
    assert root(uid=999) == "/dev/shm/jobrunner-999/feed"
    assert root(uid=1000, lingers=True) == "/dev/shm/jobrunner-1000/feed"


def test_secrets_are_in_the_home_where_a_log_out_would_take_them_away() -> None:
    assert root(uid=1000) == "/h/run/secrets"
    assert root(memory_is_usable=False) == "/h/run/secrets"
    assert root(local=False) == "/h/run/secrets"
