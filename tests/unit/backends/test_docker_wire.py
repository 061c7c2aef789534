from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.backends._docker.wire import (
    PARTIAL,
    BadAnswer,
    Chunks,
    Entry,
    Frames,
    Replay,
    parse_head,
    parse_instant,
    split_timestamp,
)

pieces = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(pieces, st.lists(st.integers(min_value=0), max_size=12))
def test_a_chunked_body_is_the_same_however_it_arrives(
    chunks: list[bytes], places: list[int]
) -> None:
    raw = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    decoder = Chunks()
    assert b"".join(decoder.feed(part) for part in cut(raw, places)) == b"".join(chunks)
    assert decoder.done


@given(pieces, st.lists(st.integers(min_value=0), max_size=12))
def test_a_chunked_body_is_not_done_before_its_last_byte(
    chunks: list[bytes], places: list[int]
) -> None:
    raw = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    decoder = Chunks()
    for part in cut(raw[:-1], places):
        decoder.feed(part)
    assert not decoder.done


def test_a_broken_chunk_is_said_to_be_one() -> None:
    with pytest.raises(BadAnswer, match="broken chunk"):
        Chunks().feed(b"so not hex\r\n")


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=60)), max_size=8),
    st.lists(st.integers(min_value=0), max_size=12),
)
def test_output_keeps_streams_and_bytes_however_it_arrives(
    entries: list[tuple[int, bytes]], places: list[int]
) -> None:
    raw = b"".join(
        bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for stream, data in entries
    )
    frames = Frames()
    found = [entry for part in cut(raw, places) for entry in frames.feed(part)]
    assert found == [Entry(stream, data) for stream, data in entries]


def test_an_error_of_the_engine_inside_its_output_is_told() -> None:
    words = b"error grabbing logs: no such file"
    with pytest.raises(BadAnswer, match="error grabbing logs"):
        Frames().feed(b"\x03\0\0\0" + len(words).to_bytes(4, "big") + words)


def stored(data: bytes) -> list[bytes]:
    """As the engine's ``local`` driver has it: cut at PARTIAL, the newline after a cut lost."""
    entries = []
    *lines, tail = data.split(b"\n")
    for line in lines:
        if len(line) < PARTIAL:
            entries.append(line + b"\n")
        else:
            entries += [line[i : i + PARTIAL] for i in range(0, len(line), PARTIAL)]
            if len(line) % PARTIAL == 0:
                entries.append(b"")
    return entries + ([tail] if tail else [])


@given(
    st.lists(st.sampled_from([0, 1, 70, PARTIAL - 1, PARTIAL, PARTIAL + 1, 2 * PARTIAL, 40_000]))
)
def test_stored_lines_of_any_length_come_back_as_they_were_written(lengths: list[int]) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    replay = Replay()
    assert b"".join(replay.restore(1, entry) for entry in stored(data)) == data


def test_an_unfinished_short_line_stays_unfinished() -> None:
    replay = Replay()
    assert b"".join(replay.restore(1, entry) for entry in stored(b"a\nb")) == b"a\nb"


def test_the_streams_are_cut_independently() -> None:
    replay = Replay()
    assert replay.restore(1, b"x" * PARTIAL) == b"x" * PARTIAL
    assert replay.restore(2, b"tail") == b"tail"
    assert replay.restore(1, b"rest") == b"rest\n"


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_an_instant_is_read_to_the_microsecond(moment: datetime) -> None:
    exact = moment.replace(tzinfo=UTC)
    text = exact.strftime("%Y-%m-%dT%H:%M:%S.") + f"{exact.microsecond:06d}000Z"
    assert parse_instant(text) == pytest.approx(exact.timestamp(), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T02:00:00.25+02:00", 0.25),
        ("1969-12-31T19:30:00-04:30", 0.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("soon", None),
        ("2026-01-02T03:04:05 nonsense", None),
    ],
)
def test_an_instant_of_an_engine(text: str, expected: float | None) -> None:
    assert parse_instant(text) == expected


def test_the_time_of_a_line_is_taken_off_and_nothing_else() -> None:
    at, data = split_timestamp(b"1970-01-01T00:00:02.000000000Z a b \n")
    assert (at, data) == (2.0, b"a b \n")


def test_a_line_without_a_time_is_refused() -> None:
    with pytest.raises(BadAnswer, match="without its time"):
        split_timestamp(b"no time here")


def test_a_head_says_how_long_its_body_is() -> None:
    head = parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nApi-Version: 1.41\r\n\r\n")
    assert (head.status, head.length, head.chunked, head.keeps_alive) == (200, 5, False, True)
    assert parse_head(b"HTTP/1.1 204 No Content\r\n\r\n").length == 0
    upgraded = parse_head(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: x\r\n\r\n")
    assert upgraded.length == 0
    chunked = parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (chunked.length, chunked.chunked, chunked.keeps_alive) == (None, True, True)
    endless = parse_head(b"HTTP/1.1 200 OK\r\n\r\n")
    assert (endless.length, endless.keeps_alive) == (None, False)
    assert not parse_head(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n"
    ).keeps_alive


def test_what_is_not_http_is_refused() -> None:
    with pytest.raises(BadAnswer, match=r"SSH-2\.0"):
        parse_head(b"SSH-2.0-OpenSSH\r\n\r\n")
