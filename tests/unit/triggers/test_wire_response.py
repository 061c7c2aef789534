"""Answers from bytes, however they are cut, and from bytes that are none."""

import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.core.verdict import Break
from triggers.senders.failures import Stop
from triggers.senders.wire.response import (
    EXCERPT,
    LARGEST_HEAD,
    LONGEST_FIELD,
    MOST_FIELDS,
    Gone,
    Reader,
)

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
PLAIN = b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\nRetry-After: 7\r\nX: y\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nRetry-After: 99\r\n\r\n"
)
TO_THE_END = b"HTTP/1.0 200 OK\r\n\r\nhello"
LINE_FEEDS = b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"
NONE = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"
ANSWERS = [PLAIN, CHUNKED, TO_THE_END, LINE_FEEDS, NONE, INTERIM + PLAIN, INTERIM + CHUNKED]


def read(pieces: list[bytes], **wanted: object) -> Reader:
    """Everything there is, and then the end of the connection."""
    reader = Reader()
    reader.expect(**{"cap": 65536, **wanted})  # type: ignore[arg-type]
    for piece in pieces:
        if reader.feed(piece):
            return reader
    reader.end()
    return reader


def end_of(pieces: list[bytes], **wanted: object) -> Reader | Stop:
    try:
        return read(pieces, **wanted)
    except Stop as stop:
        return stop


def facts(reader: Reader) -> tuple[object, ...]:
    return reader.status, bytes(reader.excerpt), reader.header(b"retry-after"), reader.reusable


def cut(text: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted({place % len(text) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(at) if a < b]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN, (503, b"hello", "7", True)),
        (CHUNKED, (200, b"hello", None, True)),
        (TO_THE_END, (200, b"hello", None, False)),
        (LINE_FEEDS, (200, b"hello", None, True)),
        (NONE, (204, b"", None, True)),
        (INTERIM + PLAIN, (503, b"hello", "7", True)),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", (200, b"", None, False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", (200, b"", None, False)),
        (b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", (304, b"", None, True)),
        (b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n.", (101, b"", None, False)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", (200, b"hello", None, False)),
    ],
)  # fmt: skip
def test_an_answer_is_what_it_says(text: bytes, expected: tuple[object, ...]) -> None:
    assert facts(read([text])) == expected


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 10_000), max_size=30))
def test_however_an_answer_is_cut_it_is_the_same(text: bytes, places: list[int]) -> None:
    assert facts(read(cut(text, places))) == facts(read([text]))


@given(st.lists(st.sampled_from([PLAIN, CHUNKED, LINE_FEEDS, NONE, INTERIM + PLAIN]), max_size=6))
def test_one_reader_serves_answer_after_answer(texts: list[bytes]) -> None:
    reader = Reader()
    for text in texts:
        reader.expect(cap=65536)
        assert reader.feed(text)
        assert facts(reader) == facts(read([text]))


@given(
    st.one_of(
        st.binary(max_size=400),
        st.builds(
            lambda text, at, junk: text[: at % len(text)] + junk + text[at % len(text) :],
            st.sampled_from(ANSWERS), st.integers(0, 10_000), st.binary(min_size=1, max_size=20),
        ),
    ),
    st.lists(st.integers(0, 10_000), max_size=5),
    st.booleans(),
)  # fmt: skip
def test_garbage_is_an_answer_or_a_reason_and_never_anything_else(
    text: bytes, places: list[int], bodiless: bool
) -> None:
    end = end_of(cut(text, places) if text else [], bodiless=bodiless)
    if isinstance(end, Stop):
        assert end.broken.why in {Break.PROTOCOL, Break.RESET}
        assert end.broken.message
        assert "\n" not in end.broken.message
    else:
        assert 0 <= end.status <= 999
        assert len(end.excerpt) <= EXCERPT


@given(st.sampled_from(ANSWERS), st.integers(0, 10_000))
def test_an_answer_that_stops_short_is_a_broken_connection(text: bytes, at: int) -> None:
    """Unless it may end there."""
    start = text[: at % len(text)]
    end = end_of([start] if start else [])
    if isinstance(end, Stop):
        assert end.broken.why is Break.RESET
        assert isinstance(end, Gone) == (not start)
    else:
        assert text == TO_THE_END
        assert end.status == 200


def test_nothing_is_waited_for_behind_the_answer_to_head() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    reader = Reader()
    for _ in range(2):
        reader.expect(cap=100, bodiless=True)
        assert reader.feed(head)
        assert facts(reader) == (200, b"", None, True)
    reader.expect(cap=100, bodiless=True)
    assert reader.feed(head + b"hello")
    assert not reader.reusable, "nobody can tell what these bytes are"


def test_of_a_body_no_more_than_the_cap_is_waited_for() -> None:
    reader = Reader()
    reader.expect(cap=3)
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello")
    assert facts(reader) == (200, b"hel", None, False)
    reader.expect(cap=0)
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    assert facts(reader) == (200, b"", None, False)


def test_what_is_as_long_as_the_cap_leaves_the_connection_in_use() -> None:
    assert facts(read([PLAIN], cap=5)) == (503, b"hello", "7", True)


def test_the_body_of_a_redirect_that_is_followed_is_not_waited_for() -> None:
    text = b"HTTP/1.1 302 X\r\nLocation: /there\r\nContent-Length: 100000\r\n\r\nhell"
    reader = read([text], follow=True)
    assert reader.redirects
    assert reader.header(b"location") == "/there"
    assert not reader.reusable
    with pytest.raises(Stop):
        read([text])


def test_an_answer_that_nobody_asked_for_ends_the_use_of_the_connection() -> None:
    assert facts(read([PLAIN + PLAIN])) == (503, b"hello", "7", False)
    assert facts(read([PLAIN + b"more"])) == (503, b"hello", "7", False)


def test_of_several_fields_of_a_name_the_first_counts() -> None:
    text = b"HTTP/1.1 302 X\r\nLocation: /a\r\nlocation: /b\r\nContent-Length: 0\r\n\r\n"
    assert read([text]).header(b"location") == "/a"


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MOST_FIELDS + 1) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * LONGEST_FIELD + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * LARGEST_HEAD,
        b"HTTP/1.1 200 " + b"x" * LARGEST_HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/2 200\r\n\r\n",
        gzip.compress(PLAIN, mtime=0),
    ],
    ids=lambda text: repr(text[:60]),
)
def test_what_is_no_answer_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(Stop) as caught:
        read([text[at : at + 4096] for at in range(0, len(text), 4096)])
    assert caught.value.broken.why is Break.PROTOCOL
    assert caught.value.broken.message.startswith(("the head of the answer", "the body of"))


def test_interim_answers_without_end_are_no_long_head() -> None:
    reader = Reader()
    reader.expect(cap=10)
    for _ in range(2 * LARGEST_HEAD // len(INTERIM)):
        assert not reader.feed(INTERIM)
    assert reader.feed(PLAIN)
