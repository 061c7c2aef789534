"""The quick reader of envelopes reads as the careful one, or leaves the envelope to it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.core.envelopes import Envelope, decode_wrapped
from triggers.core.plain_envelopes import read_plain
from triggers.errors import InvalidEvent

STAMP = "2021-02-26T19:13:55.749Z"
IDS = {"messageId": "7", "publishTime": STAMP}

_TEXT = st.sampled_from(["a", "b c", "ü", "\ud800", "a\udc00b", "\U0001f600", "\0", ""])
_VALUE = st.none() | st.booleans() | st.integers(-1, 3) | st.just(2.0) | _TEXT
_ID = st.just("12") | st.just("has space") | st.just("x" * 257) | _VALUE
_TIME = st.sampled_from([
    STAMP, "2021-02-26T19:13:55Z", "2021-02-26T19:13:60.5Z", "2021-02-30T19:13:55.1Z",
    "2021-02-26T19:13:55.1234567890Z", "2021-02-26t19:13:55.1+02:00", "2021-02-26T19:13:55.²Z",
    "1969-12-31T23:59:59.5Z", "2021-02-26T19:13:55.Z",
]) | _VALUE  # fmt: skip
_DATA = st.sampled_from(["SGVsbG8=", "SGVsbG8", "_-8=", "+/8=", "a===", "SGVsb\nG8="]) | _VALUE
_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "messageId": _ID, "message_id": _ID, "publishTime": _TIME, "publish_time": _TIME,
        "data": _DATA, "attributes": st.dictionaries(_TEXT, _TEXT | _VALUE, max_size=3) | _VALUE,
        "orderingKey": _VALUE, "ordering_key": _VALUE,
    },
)  # fmt: skip
_ENVELOPE = st.fixed_dictionaries(
    {"message": _MESSAGE},
    optional={"subscription": _VALUE, "deliveryAttempt": _VALUE | st.just(2**31)},
)


def read(document: dict[str, object]) -> Envelope | tuple[str | None, str, int]:
    try:
        return decode_wrapped(json.dumps(document).encode())
    except InvalidEvent as error:
        return error.field, error.message, error.status


@given(_ENVELOPE, st.booleans())
def test_both_readers_say_the_same(document: dict[str, object], sound: bool) -> None:
    if sound:
        document["message"] = {**IDS, **document["message"]}  # type: ignore[dict-item]
    # A member that nobody knows is skipped, and only by the careful reader.
    assert read(document) == read({**document, "unknown": 0})


def test_what_pubsub_writes_is_read_quickly() -> None:
    both = {**IDS, "message_id": "7", "publish_time": STAMP, "orderingKey": "k"}
    message = {**both, "data": "SGVsbG8=", "attributes": {"a": "b"}}
    document = {"message": message, "subscription": "s", "deliveryAttempt": 2}
    assert read_plain(json.dumps(document)) is not None
    assert read_plain(json.dumps({"message": IDS})) is not None


@pytest.mark.parametrize(
    "text",
    [
        '{"message":{"messageId":"1","messageId":"2","publishTime":"TIME"}}',
        '{"message":{"messageId":"1","publishTime":"TIME","attributes":{"a":"1","a":"2"}}}',
        '{"message":null,"message":{"messageId":"1","publishTime":"TIME"}}',
    ],
)
def test_of_equal_names_both_take_the_last(text: str) -> None:
    text = text.replace("TIME", STAMP)
    plain = decode_wrapped(text.encode())
    assert plain == decode_wrapped((text[:-1] + ',"unknown":0}').encode())


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80"])
def test_a_body_that_is_not_utf_8_is_refused_wherever_it_is_broken(bad: bytes) -> None:
    body = b'{"message":{"messageId":"1","publishTime":"%s","data":"%s"}}' % (STAMP.encode(), bad)
    with pytest.raises(InvalidEvent, match="not UTF-8"):
        decode_wrapped(body)
