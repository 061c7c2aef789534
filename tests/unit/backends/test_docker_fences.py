import json
import time
from pathlib import Path

from jobrunner.backends._docker.fences import KEPT_SECONDS, Fences


def test_a_lower_lease_is_not_admitted(tmp_path: Path) -> None:
    fences = Fences(str(tmp_path / "run" / "fences"))
    fences.raise_to("e", 3)
    assert not fences.admits("e", 2)
    assert fences.admits("e", 3)
    assert fences.admits("e", 4)
    assert not fences.admits("e", 3)
    assert fences.admits("other", 1)


def test_a_launch_raises_the_fence_too(tmp_path: Path) -> None:
    fences = Fences(str(tmp_path / "fences"))
    assert fences.admits("e", 2)
    assert not fences.admits("e", 1)


def test_another_runner_of_the_home_sees_the_fence(tmp_path: Path) -> None:
    path = str(tmp_path / "run" / "fences")
    slow, quick = Fences(path), Fences(path)
    assert slow.admits("e", 1)
    quick.raise_to("e", 2)
    assert not slow.admits("e", 1)
    quick.raise_to("e", 5)
    assert slow.highest("e") == 5


def test_a_fence_is_never_lowered(tmp_path: Path) -> None:
    path = str(tmp_path / "fences")
    Fences(path).raise_to("e", 5)
    Fences(path).raise_to("e", 3)
    assert Fences(path).highest("e") == 5


def test_the_first_lease_of_an_execution_leaves_no_file(tmp_path: Path) -> None:
    fences = Fences(str(tmp_path / "run" / "fences"))
    fences.raise_to("e", 1)
    assert list(tmp_path.iterdir()) == []


def test_old_fences_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "fences"
    now = time.time()
    path.write_text(json.dumps({"old": [9, now - KEPT_SECONDS - 1], "young": [9, now - 1]}))
    Fences(str(path)).raise_to("e", 2)
    assert set(json.loads(path.read_text())) == {"young", "e"}


def test_a_spoilt_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "fences"
    path.write_text("{ not json")
    fences = Fences(str(path))
    assert fences.highest("e") == 0
    fences.raise_to("e", 2)
    assert Fences(str(path)).highest("e") == 2
