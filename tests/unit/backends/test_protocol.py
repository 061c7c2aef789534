"""Frames arrive whole, however the bytes come."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.backends.process.handle import Handle
from jobrunner.backends.process.link import encode
from jobrunner.backends.supervisor.protocol import (
    LENGTH,
    MAX_FRAME,
    Exit,
    Inbox,
    SupervisorFault,
    exited_text,
    started_text,
)
from jobrunner.errors import BackendFault

BODIES = st.lists(st.binary(max_size=50), max_size=8)


@given(BODIES, st.lists(st.integers(1, 20), min_size=1, max_size=50))
def test_bodies_come_out_as_they_went_in_wherever_the_stream_is_cut(
    bodies: list[bytes], sizes: list[int]
) -> None:
    stream = b"".join(LENGTH.pack(len(body)) + body for body in bodies)
    inbox, found, at = Inbox(), [], 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        found.extend(inbox.feed(stream[at : at + size]))
        at += size
    assert found == bodies


def test_a_length_beyond_all_reason_is_refused_at_once() -> None:
    with pytest.raises(SupervisorFault, match="at most"):
        list(Inbox().feed(LENGTH.pack(MAX_FRAME + 1)))


def test_bytes_that_are_no_text_can_be_sent() -> None:
    odd = b"\xff\x80".decode("utf-8", "surrogateescape")
    assert json.loads(encode([["spawn", odd, "é"]])) == [["spawn", odd, "é"]]


@pytest.mark.parametrize("key", ["e/0/0", "e:with:colons/1/2"])
def test_a_handle_reads_back_as_it_was_written(key: str) -> None:
    handle = Handle("a1b2", "c4c7ba35", 12, 345, key)
    assert Handle.parse(str(handle)) == handle


@pytest.mark.parametrize("text", ["", "x", "a:b:c:d:e", "scripted:e/0/0", "a:b:1:2"])
def test_what_is_no_handle_is_refused_by_name(text: str) -> None:
    with pytest.raises(BackendFault, match="no handle of the process backend"):
        Handle.parse(text)


@given(
    st.builds(
        Exit,
        key=st.text(min_size=1),
        code=st.none() | st.integers(0, 255),
        signal=st.none() | st.integers(1, 64),
        user=st.floats(0, 1e9),
        system=st.floats(0, 1e9),
        max_rss=st.integers(0, 2**60),
        started=st.floats(0, 4e9),
        ended=st.floats(0, 4e9),
        stopped=st.none() | st.just("timeout"),
        output=st.integers(0, 2**60),
        lost=st.integers(0, 2**60),
    )
)
def test_the_text_of_an_exit_is_the_json_of_its_items(end: Exit) -> None:
    assert Exit(*json.loads(end.text())) == end
    assert json.loads(exited_text(end.text())) == ["exited", *end]


@given(st.text(min_size=1), st.integers(1, 2**22), st.integers(0, 2**60), st.floats(0, 4e9))
def test_the_text_of_a_start_is_the_json_of_its_items(
    key: str, pid: int, ticks: int, at: float
) -> None:
    assert json.loads(started_text(key, pid, ticks, at)) == ["started", key, pid, ticks, at]
