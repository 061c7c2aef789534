"""What may lie about in a home where supervisors live."""

from __future__ import annotations

from pathlib import Path

from jobrunner.backends.supervisor import remains


def test_a_directory_whose_removal_was_cut_short_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "0123456789ab"
    directory.mkdir()
    assert remains.read(str(directory), "home:0123456789ab:") is None
    assert not directory.exists()


def test_what_others_keep_in_a_directory_without_a_lock_is_left_alone(tmp_path: Path) -> None:
    directory = tmp_path / "notes"
    directory.mkdir()
    (directory / "todo").write_text("buy milk")
    assert remains.read(str(directory), "home:notes:") is None
    assert (directory / "todo").exists()
