"""Push requests are written as production writes them, and read from whoever writes one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.core.envelopes import (
    Envelope,
    decode_unwrapped,
    decode_wrapped,
    encode_push,
    encode_wrapped,
    with_attempt,
)
from triggers.core.events import PubsubMessage
from triggers.core.subscriptions import Wrapping
from triggers.errors import InvalidEvent

SUBSCRIPTION = "projects/myproject/subscriptions/mysubscription"
STAMP, AT = "2021-02-26T19:13:55.749Z", 1_614_366_835.749
FULL = PubsubMessage("2070443601311540", STAMP, AT, b"Hello", (("key", "value"),), "key", 5)
BARE = PubsubMessage("2070443601311540", STAMP, AT)


def refused(document: object) -> InvalidEvent:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(InvalidEvent) as caught:
        decode_wrapped(body)
    return caught.value


def test_a_wrapped_push_is_that_of_production_to_the_byte() -> None:
    assert encode_wrapped(FULL, SUBSCRIPTION).decode() == (
        '{"deliveryAttempt":5,'
        '"message":{"attributes":{"key":"value"},"data":"SGVsbG8=",'
        '"messageId":"2070443601311540","message_id":"2070443601311540","orderingKey":"key",'
        '"publishTime":"2021-02-26T19:13:55.749Z","publish_time":"2021-02-26T19:13:55.749Z"},'
        '"subscription":"projects/myproject/subscriptions/mysubscription"}'
    )


def test_what_is_empty_is_not_in_an_envelope() -> None:
    document = json.loads(encode_wrapped(BARE, SUBSCRIPTION))
    assert set(document) == {"message", "subscription"}
    assert set(document["message"]) == {"messageId", "message_id", "publishTime", "publish_time"}


def test_publication_has_three_digits_however_exact_it_was() -> None:
    for stamp, at in (("", 1_614_366_835.0), ("", 1_614_366_835.749999)):
        document = json.loads(encode_wrapped(PubsubMessage("1", stamp, at), "s"))
        assert document["message"]["publishTime"] in {
            "2021-02-26T19:13:55.000Z", "2021-02-26T19:13:55.749Z",
        }  # fmt: skip


def test_the_number_of_the_attempt_goes_up_where_there_is_one() -> None:
    assert json.loads(with_attempt(encode_wrapped(FULL, "s"), 12))["deliveryAttempt"] == 12
    body = encode_wrapped(BARE, "s")
    assert with_attempt(body, 12) == body


def test_an_unwrapped_push_is_the_data_and_says_nothing_else() -> None:
    headers, body = encode_push(FULL, SUBSCRIPTION, Wrapping.UNWRAPPED)
    assert (dict(headers), body) == ({"Content-Type": "application/octet-stream"}, b"Hello")


def test_metadata_of_an_unwrapped_push_is_in_headers() -> None:
    message = PubsubMessage(
        "7", STAMP, AT, b"{}",
        (("Content-Type", "application/json"), ("Foo-Bar", "Baz"), ("bad name", "x"),
         ("break", "a\r\nb"), ("Host", "evil"), ("X-Goog-PubSub-Message-Id", "8"),
         ("authorization", "x"), ("no", "ü")),
        "k1",
    )  # fmt: skip
    headers, body = encode_push(message, SUBSCRIPTION, Wrapping.UNWRAPPED_METADATA)
    assert body == b"{}"
    assert dict(headers) == {
        "x-goog-pubsub-subscription-name": SUBSCRIPTION,
        "x-goog-pubsub-message-id": "7",
        "x-goog-pubsub-publish-time": STAMP,
        "x-goog-pubsub-ordering-key": "k1",
        "Content-Type": "application/json",
        "Foo-Bar": "Baz",
    }


def test_the_emulators_envelope_is_read() -> None:
    body = (
        rb'{"subscription":"projects\/demo\/subscriptions\/s-wrap","message":{"publishTime":'
        rb'"2026-11-21T00:06:30.781Z","data":"","publish_time":"2026-11-21T00:06:30.781Z",'
        rb'"messageId":"1","attributes":{},"message_id":"1"},"somethingNew":{"a":1}}'
    )
    envelope = decode_wrapped(body)
    assert envelope.subscription == "projects/demo/subscriptions/s-wrap"
    assert envelope.message == PubsubMessage("1", "2026-11-21T00:06:30.781Z", 1795219590.781)


def test_either_spelling_is_enough() -> None:
    document = {"message": {"message_id": "1", "publish_time": STAMP, "data": "_-8="}}
    envelope = decode_wrapped(json.dumps(document).encode())
    assert envelope.message == PubsubMessage("1", STAMP, AT, b"\xff\xef")
    assert envelope.subscription == ""


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (b"hello", ""),
        (b"\xff", ""),
        ([], ""),
        ({}, "message"),
        ({"message": 5}, "message"),
        ({"message": {}}, "message.messageId"),
        ({"message": {"messageId": 5}}, "message.messageId"),
        ({"message": {"messageId": "a b", "publishTime": STAMP}}, "message.messageId"),
        ({"message": {"messageId": "1"}}, "message.publishTime"),
        ({"message": {"messageId": "1", "publishTime": "now"}}, "message.publishTime"),
        ({"message": {"messageId": "1", "publishTime": STAMP, "data": "?"}}, "message.data"),
        ({"message": {"messageId": "1", "publishTime": STAMP, "data": 1}}, "message.data"),
        (
            {"message": {"messageId": "1", "publishTime": STAMP, "attributes": {"a": 1}}},
            "message.attributes[a]",
        ),
        (
            {"message": {"messageId": "1", "publishTime": STAMP, "attributes": {"a": "\ud800"}}},
            "message.attributes[a]",
        ),
        (
            {"message": {"messageId": "1", "publishTime": STAMP}, "deliveryAttempt": "x"},
            "deliveryAttempt",
        ),
        ({"message": {"messageId": "1", "publishTime": STAMP}, "subscription": 1}, "subscription"),
    ],
)
def test_what_is_wrong_with_an_envelope_is_named(document: object, field: str) -> None:
    error = refused(document)
    assert (error.field, error.status) == (field, 400)


def test_a_message_that_is_too_large_is_413() -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode_wrapped(encode_wrapped(FULL, "s"), limit=4)
    assert caught.value.status == 413


def test_an_unwrapped_push_of_the_emulator_is_read() -> None:
    headers = [
        ("Content-Type", "application/json"), ("foo", "bar"), ("x-goog-ordering-key", "k1"),
        ("x-goog-pubsub-message-id", "1"), ("x-goog-pubsub-publish-time", STAMP),
        ("x-goog-pubsub-subscription-name", "projects/demo/subscriptions/s"),
        ("User-Agent", "Java/17.0.15"), ("Host", "127.0.0.1:8791"), ("Connection", "keep-alive"),
    ]  # fmt: skip
    envelope = decode_unwrapped(headers, b"{}", message_id="x", now=0.0)
    message = PubsubMessage(
        "1", STAMP, AT, b"{}", (("content-type", "application/json"), ("foo", "bar")), "k1"
    )
    assert envelope == Envelope(message, "projects/demo/subscriptions/s")


def test_without_metadata_the_message_is_its_data_and_gets_an_id() -> None:
    headers = [("Content-type", "application/x-www-form-urlencoded"), ("User-Agent", "x")]
    envelope = decode_unwrapped(headers, b"raw", message_id="m1", now=1_767_225_600.0)
    assert envelope.invented
    assert envelope.message.message_id == "m1"
    assert (envelope.message.data, envelope.message.attributes) == (b"raw", ())


def test_metadata_that_cannot_be_is_refused() -> None:
    for headers in (
        [("x-goog-pubsub-message-id", "1")],
        [("x-goog-pubsub-message-id", "1"), ("x-goog-pubsub-publish-time", "now")],
    ):
        with pytest.raises(InvalidEvent) as caught:
            decode_unwrapped(headers, b"", message_id="x", now=0.0)
        assert caught.value.field == "x-goog-pubsub-publish-time"


plain = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)
messages = st.builds(
    PubsubMessage,
    st.text("0123456789", min_size=1, max_size=17),
    st.just(STAMP),
    st.just(AT),
    st.binary(max_size=30),
    st.dictionaries(plain, plain, max_size=3).map(lambda given: tuple(given.items())),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.none() | st.integers(1, 100),
)


@given(messages)
def test_a_message_comes_back_from_its_envelope(message: PubsubMessage) -> None:
    assert decode_wrapped(encode_wrapped(message, SUBSCRIPTION)) == Envelope(message, SUBSCRIPTION)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["message", "messageId", "publishTime", "data", "attributes", "subscription",
             "deliveryAttempt", "orderingKey", "x"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300)
@given(anything, st.binary(max_size=40))
def test_nothing_that_is_pushed_raises_anything_but_our_error(value: object, raw: bytes) -> None:
    for body in (json.dumps(value).encode(), json.dumps({"message": value}).encode(), raw):
        try:
            message = decode_wrapped(body).message
        except InvalidEvent:
            continue
        for form in Wrapping:
            encode_push(message, "s", form)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4), st.binary())
def test_no_headers_raise_anything_but_our_error(
    headers: list[tuple[str, str]], body: bytes
) -> None:
    given_ids = [("x-goog-pubsub-message-id", "1"), ("x-goog-pubsub-publish-time", STAMP)]
    message = decode_unwrapped([*headers, *given_ids], body, message_id="x", now=0.0).message
    assert message.data == body
    encode_push(message, "s", Wrapping.UNWRAPPED_METADATA)
