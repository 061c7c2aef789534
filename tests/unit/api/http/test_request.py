"""Reading a request: bodies within their bounds, and nothing that has two readings."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from jobrunner.api.errors import MalformedCall, TooLarge, TooSlow, WrongContentType
from jobrunner.api.http.limits import Limits
from jobrunner.api.http.request import (
    ClientGone,
    Receive,
    idempotency_key,
    read_body,
    read_headers,
)

LIMITS = Limits(body=100)
JSON = {b"content-type": b"application/json", b"content-length": b"50"}


def sends(*parts: bytes, ends: bool = True) -> Receive:
    """A client that sends ``parts``, then nothing more, or leaves."""
    left = list(parts)

    async def receive() -> MutableMapping[str, Any]:
        if not left:
            if ends:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left) or not ends}

    return receive


async def never() -> MutableMapping[str, Any]:
    raise AssertionError("nothing is to be read")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8",
        "APPLICATION/JSON", 'application/json; charset="utf-8"', "application/cloudevents+json",
    ],
)  # fmt: skip
async def test_json_is_read_under_its_names(kind: str) -> None:
    headers = {b"content-type": kind.encode(), b"content-length": b"7"}
    assert await read_body(headers, sends(b'{"a":1}'), LIMITS) == {"a": 1}


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "text/plain; application/json", "application/json, text/plain", "application/jsonp", "x",
        "application/json; charset=latin-1", "text/json",
    ],
)  # fmt: skip
async def test_what_a_web_form_can_send_is_refused_even_without_a_body(kind: str) -> None:
    for length in (b"0", b"7"):
        headers = {b"content-type": kind.encode(), b"content-length": length}
        with pytest.raises(WrongContentType):
            await read_body(headers, never, LIMITS)


async def test_without_a_content_type_json_is_assumed() -> None:
    assert await read_body({b"content-length": b"2"}, sends(b"{}"), LIMITS) == {}


@pytest.mark.parametrize("headers", [{}, {b"content-length": b"0"}])
async def test_no_body_is_none_and_is_not_waited_for(headers: dict[bytes, bytes]) -> None:
    assert await read_body(headers, never, LIMITS) is None


async def test_an_empty_chunked_body_is_none() -> None:
    assert await read_body({b"transfer-encoding": b"chunked"}, sends(b""), LIMITS) is None


async def test_a_body_comes_in_any_number_of_parts() -> None:
    assert await read_body(JSON, sends(b'{"a"', b":", b"1}"), LIMITS) == {"a": 1}


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    with pytest.raises(TooLarge, match="larger than 100 bytes"):
        await read_body({b"content-length": b"101"}, never, LIMITS)


async def test_a_body_that_does_not_say_is_read_up_to_the_bound() -> None:
    headers = {b"transfer-encoding": b"chunked"}
    with pytest.raises(TooLarge):
        await read_body(headers, sends(*[b"x" * 60] * 1000), LIMITS)


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever() -> None:
    with pytest.raises(TooSlow, match=r"within 0.01 s: 4 bytes"):
        await read_body(JSON, sends(b'{"a"', ends=False), replace(LIMITS, body_seconds=0.01))


async def test_a_client_that_leaves_is_not_answered() -> None:
    receive = sends()
    with pytest.raises(ClientGone):
        await read_body(JSON, receive, LIMITS)


def test_headers_are_found_by_name() -> None:
    headers = [(b"host", b"x"), (b"accept", b"a"), (b"accept", b"b")]
    assert read_headers(headers)[b"host"] == b"x"


@pytest.mark.parametrize("name", [b"host", b"authorization", b"origin", b"content-type"])
def test_a_header_with_two_readings_is_refused(name: bytes) -> None:
    with pytest.raises(MalformedCall, match="occurs twice"):
        read_headers([(name, b"x"), (b"accept", b"y"), (name, b"x")])


def test_an_idempotency_key_is_short_visible_text() -> None:
    assert idempotency_key({}) is None
    assert idempotency_key({b"idempotency-key": b""}) is None
    assert idempotency_key({b"idempotency-key": b'"a-1"'}) == '"a-1"'
    for bad in (b"a b", b"\xff", b"x" * 256, b"a\x00"):
        with pytest.raises(MalformedCall, match="Idempotency-Key"):
            idempotency_key({b"idempotency-key": bad})
