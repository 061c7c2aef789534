"""An attempt's log: frames in order, head and tail on a bounded disk, readable while it grows."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.lib.framelog import HEADER, FrameReader, FrameWriter, read_frames, remove


def texts(base: str) -> list[tuple[int, bytes, int]]:
    return [(frame.stream, frame.data, frame.dropped) for frame in read_frames(base)]


def test_an_attempt_without_output_has_no_file(tmp_path: Path) -> None:
    writer = FrameWriter(str(tmp_path / "0.0"), head=10, tail=10)
    writer.close()
    assert list(tmp_path.iterdir()) == []
    assert texts(str(tmp_path / "0.0")) == []


def test_frames_come_back_in_order_with_their_streams(tmp_path: Path) -> None:
    base = str(tmp_path / "0.0")
    writer = FrameWriter(base, head=1000, tail=10)
    for number in range(5):
        writer.write(float(number), 1 + number % 2, b"%d" % number)
    assert texts(base) == [(1 + n % 2, b"%d" % n, 0) for n in range(5)]
    assert writer.written == 5


def test_a_torn_last_frame_is_not_shown_until_it_is_whole(tmp_path: Path) -> None:
    base = str(tmp_path / "0.0")
    frame = HEADER.pack(1.0, 1, 5) + b"hello"
    path = tmp_path / "0.0.log"
    reader = FrameReader(base)
    for cut in range(len(frame)):
        path.write_bytes(frame[:cut])
        assert list(reader.read()) == []
    path.write_bytes(frame)
    assert [f.data for f in reader.read()] == [b"hello"]
    assert list(reader.read()) == []


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 30), max_size=60),
    head=st.integers(1, 60),
    tail=st.integers(2, 60),
)
def test_head_and_tail_stay_and_the_gap_is_counted(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], head: int, tail: int
) -> None:
    base = str(tmp_path_factory.mktemp("log") / "0.0")
    writer = FrameWriter(base, head=head, tail=tail)
    whole = b""
    for number, size in enumerate(sizes):
        data = bytes([number % 256]) * size
        writer.write(1.0, 1, data)
        whole += data
    frames = list(read_frames(base))
    kept = b"".join(frame.data for frame in frames)
    dropped = sum(frame.dropped for frame in frames)
    assert len(kept) + dropped == len(whole) == writer.written
    assert whole.startswith(kept[: min(head, len(kept))])
    assert whole.endswith(kept[-min(tail, len(kept)) :] if kept else b"")
    assert len(kept) <= head + 30 + 4 * (tail // 2 + 30)


def test_a_reader_that_follows_sees_everything_once_across_tail_files(tmp_path: Path) -> None:
    base = str(tmp_path / "0.0")
    writer = FrameWriter(base, head=20, tail=20)
    reader = FrameReader(base)
    seen = b""
    for number in range(200):
        writer.write(1.0, 1, b"%03d" % number)
        seen += b"".join(frame.data for frame in reader.read())
    assert seen == b"".join(b"%03d" % number for number in range(200))


def test_a_reader_that_was_overtaken_says_how_much_it_missed(tmp_path: Path) -> None:
    base = str(tmp_path / "0.0")
    writer = FrameWriter(base, head=9, tail=12)
    reader = FrameReader(base)
    writer.write(1.0, 1, b"000")
    first = list(reader.read())
    for number in range(1, 100):
        writer.write(1.0, 1, b"%03d" % number)
    rest = list(reader.read())
    data = b"".join(frame.data for frame in first + rest)
    assert len(data) + sum(frame.dropped for frame in rest) == 300
    assert data.endswith(b"097098099")


def test_reading_a_log_without_a_tail_lists_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(tmp_path / "0.0")
    FrameWriter(base, head=100, tail=10).write(1.0, 1, b"x")

    def forbidden(path: str = ".") -> list[str]:
        raise AssertionError(f"a directory of 10,000 logs would be listed for each: {path}")

    monkeypatch.setattr(os, "listdir", forbidden)
    assert texts(base) == [(1, b"x", 0)]


def test_a_full_disk_loses_output_and_never_raises(tmp_path: Path) -> None:
    writer = FrameWriter(str(tmp_path / "missing" / "0.0"), head=10, tail=10)
    writer.write(1.0, 1, b"abc")
    assert (writer.written, writer.lost) == (3, 3)


def test_removing_takes_all_files_of_one_log_and_no_other(tmp_path: Path) -> None:
    for name in ("0.0", "0.01"):
        writer = FrameWriter(str(tmp_path / name), head=3, tail=6)
        for _ in range(20):
            writer.write(1.0, 1, b"abc")
    others = {path.name for path in tmp_path.iterdir() if path.name.startswith("0.01")}
    remove(str(tmp_path / "0.0"))
    assert {path.name for path in tmp_path.iterdir()} == others


def test_a_follower_of_a_log_that_is_written_anew_gets_every_byte_once(tmp_path: Path) -> None:
    base = str(tmp_path / "0.0")
    first = FrameWriter(base, head=10_000, tail=10_000)
    first.write(1.0, 1, b"one\ntwo\n")
    first.write(2.0, 2, b"warn\n")
    reader = FrameReader(base)
    got = list(reader.read())
    first.close()

    remove(base)
    assert list(reader.read()) == []
    second = FrameWriter(base, head=10_000, tail=10_000)
    second.write(0.5, 1, b"one\n")
    got += reader.read()
    second.write(0.6, 2, b"warn\nmore\n")
    second.write(0.7, 1, b"two\nthree\n")
    got += reader.read()
    second.close()

    streams = {n: b"".join(f.data for f in got if f.stream == n) for n in (1, 2)}
    assert streams == {1: b"one\ntwo\nthree\n", 2: b"warn\nmore\n"}


def test_a_later_reader_goes_on_where_an_earlier_one_was_left(tmp_path: Path) -> None:
    base = str(tmp_path / "0.0")
    writer = FrameWriter(base, head=20, tail=20)
    for number in range(30):
        writer.write(float(number), 1 + number % 2, b"%04d" % number)
    whole = texts(base)
    assert any(dropped for _, _, dropped in whole)
    got, place = [], ""
    while True:
        reader = FrameReader(base, place)
        frame = next(reader.read(), None)
        if frame is None:
            break
        got.append((frame.stream, frame.data, frame.dropped))
        place = reader.place()
    assert got == whole
    writer.write(99.0, 1, b"late")
    assert [frame.data for frame in FrameReader(base, place).read()] == [b"late"]


@pytest.mark.parametrize("place", ["x", "1", "0 -1 0 0 0 0 0:", "0 0 0 0 0 0 0:zz", "1 2 3 4 5 6"])
def test_a_place_that_no_reader_has_told_is_refused(place: str) -> None:
    with pytest.raises(ValueError):
        FrameReader("0.0", place)
