"""Files that an order to run has brought."""

import os
from pathlib import Path

import pytest

from jobrunner.core.overrides import apply_overrides
from jobrunner.core.spec import ExecutionTemplate, InputFile, Overrides
from jobrunner.errors import LaunchFailed
from jobrunner.executor.input_files import in_container, mounted, on_machine, written
from jobrunner.store.documents import decode_template, encode_template

FILE = InputFile("cloudevent.json", "CLOUDEVENT_FILE", b'{"id":"1"}\xff')


def test_a_process_and_a_container_are_told_where_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / FILE.name)
    assert on_machine([FILE], str(tmp_path)) == {"CLOUDEVENT_FILE": path}
    [file] = mounted([FILE])
    assert in_container([FILE]) == {"CLOUDEVENT_FILE": file.path}
    assert file.content == FILE.content


def test_a_file_is_written_once_and_again_when_it_is_gone(tmp_path: Path) -> None:
    written([FILE], str(tmp_path))
    path = tmp_path / FILE.name
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (FILE.content, 0o400)
    before = path.stat().st_ino
    written([FILE], str(tmp_path))
    assert path.stat().st_ino == before
    path.unlink()
    written([FILE], str(tmp_path))
    assert path.read_bytes() == FILE.content
    assert os.listdir(tmp_path) == [FILE.name]


def test_a_file_that_cannot_be_written_is_a_start_that_may_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed, match=r"cloudevent\.json cannot be written") as caught:
        written([FILE], str(tmp_path / "nowhere"))
    assert not caught.value.permanent


def test_it_stays_with_the_template_of_its_execution() -> None:
    template = apply_overrides(ExecutionTemplate(), Overrides(files=(FILE,)))
    assert template.template.files == (FILE,)
    assert decode_template(encode_template(template)) == template
    # Whoever runs it again brings none, and finds the one that was there.
    assert apply_overrides(template, Overrides(task_count=2)).template.files == (FILE,)
    assert "1" not in repr(FILE).partition("content")[2]
