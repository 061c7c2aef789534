"""The log store on files."""

from pathlib import Path

import pytest

from jobrunner.core.records import AttemptKey
from jobrunner.lib.framelog import FrameWriter
from jobrunner.store.logs import FileLogs

KEY = AttemptKey("uid-1", 3, 0)


def write(logs: FileLogs, key: AttemptKey, *chunks: tuple[int, bytes]) -> FrameWriter:
    writer = FrameWriter(logs.path_for(key), head=1000, tail=1000)
    for at, (stream, data) in enumerate(chunks):
        writer.write(float(at), stream, data)
    return writer


def test_a_log_is_kept_by_execution_index_and_attempt(tmp_path: Path) -> None:
    logs = FileLogs(str(tmp_path / "logs"))
    write(logs, KEY, (1, b"x"))
    assert (tmp_path / "logs" / "uid-1" / "3.0.log").exists()
    assert (tmp_path / "logs" / "uid-1").stat().st_mode & 0o077 == 0


def test_chunks_keep_stream_time_and_order(tmp_path: Path) -> None:
    logs = FileLogs(str(tmp_path))
    write(logs, KEY, (1, b"a"), (2, b"b"), (1, b"c"))
    found = [(chunk.at, chunk.stream, chunk.data) for chunk in logs.chunks(KEY)]
    assert found == [(0.0, 1, b"a"), (1.0, 2, b"b"), (2.0, 1, b"c")]


def test_reading_what_was_never_written_finds_nothing_and_makes_nothing(tmp_path: Path) -> None:
    logs = FileLogs(str(tmp_path / "logs"))
    assert list(logs.chunks(KEY)) == []
    assert logs.tail(KEY, 10) == b""
    assert (logs.size("uid-1"), logs.total_size()) == (0, 0)
    logs.delete("uid-1")
    assert not (tmp_path / "logs").exists()


def test_a_reader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    logs = FileLogs(str(tmp_path))
    writer = write(logs, KEY, (1, b"a"))
    reader = logs.reader(KEY)
    assert [chunk.data for chunk in reader.read()] == [b"a"]
    writer.write(9.0, 2, b"b")
    assert [chunk.data for chunk in reader.read()] == [b"b"]


@pytest.mark.parametrize(("size", "least"), [(1, b"f"), (3, b"def"), (100, b"abcdef")])
def test_the_tail_has_at_least_the_size_asked_for(tmp_path: Path, size: int, least: bytes) -> None:
    logs = FileLogs(str(tmp_path))
    write(logs, KEY, (1, b"ab"), (2, b"cd"), (1, b"ef"))
    assert logs.tail(KEY, size).endswith(least)
    assert len(logs.tail(KEY, 1)) <= 2


def test_deleting_an_execution_takes_its_logs_and_no_other(tmp_path: Path) -> None:
    logs = FileLogs(str(tmp_path))
    other = AttemptKey("uid-2", 0, 0)
    write(logs, KEY, (1, b"x"))
    write(logs, other, (1, b"yy"))
    assert logs.total_size() == logs.size("uid-1") + logs.size("uid-2")
    logs.delete("uid-1")
    assert (logs.size("uid-1"), list(logs.chunks(KEY))) == (0, [])
    assert [chunk.data for chunk in logs.chunks(other)] == [b"yy"]
    write(logs, KEY, (1, b"again"))
    assert [chunk.data for chunk in logs.chunks(KEY)] == [b"again"]


@pytest.mark.parametrize("uid", ["", ".", "..", "../other", "a/b"])
def test_nothing_but_the_directory_of_an_execution_is_ever_deleted(
    tmp_path: Path, uid: str
) -> None:
    with pytest.raises(ValueError, match="not the uid"):
        FileLogs(str(tmp_path)).delete(uid)
