"""A lease that was reached is never fallen behind."""

import os
from pathlib import Path

from jobrunner.backends.supervisor import fences
from jobrunner.backends.supervisor.fences import Fences


def test_a_smaller_lease_than_one_seen_is_not_admitted(tmp_path: Path) -> None:
    here = Fences(str(tmp_path))
    assert here.admits("e", 3)
    assert not here.admits("e", 2)
    assert here.admits("e", 3)
    assert here.admits("e", 4)
    assert here.admits("other", 1)
    assert "lease 4, this one holds 2" in here.refusal("e", 2).message


def test_a_stored_fence_is_found_by_who_comes_later(tmp_path: Path) -> None:
    fences.store(str(tmp_path), "e", 5)
    here = Fences(str(tmp_path))
    here.recall("e")
    assert not here.admits("e", 4)
    assert here.admits("e", 5)


def test_a_stored_fence_never_goes_down(tmp_path: Path) -> None:
    fences.store(str(tmp_path), "e", 5)
    fences.store(str(tmp_path), "e", 3)
    assert fences.read(str(tmp_path), "e") == 5
    assert os.listdir(tmp_path) == ["e"]


def test_what_is_not_stored_reads_as_no_fence(tmp_path: Path) -> None:
    (tmp_path / "odd").write_text("no number")
    assert fences.read(str(tmp_path), "odd") == 0
    assert fences.read(str(tmp_path), "missing") == 0


def test_only_old_fences_are_swept(tmp_path: Path) -> None:
    fences.store(str(tmp_path), "e", 5)
    now = os.stat(tmp_path / "e").st_mtime
    fences.sweep(str(tmp_path), now + fences.KEPT_SECONDS - 1)
    assert fences.read(str(tmp_path), "e") == 5
    fences.sweep(str(tmp_path), now + fences.KEPT_SECONDS + 1)
    assert fences.read(str(tmp_path), "e") == 0
    fences.sweep(str(tmp_path / "missing"))


def test_memory_of_leases_is_bounded(tmp_path: Path) -> None:
    here = Fences(str(tmp_path))
    for number in range(fences.REMEMBERED + 10):
        assert here.admits(f"e-{number}", 2)
    # The oldest is forgotten here; where it was overtaken, the file still says so.
    assert here.admits("e-0", 1)
    assert not here.admits(f"e-{fences.REMEMBERED}", 1)
