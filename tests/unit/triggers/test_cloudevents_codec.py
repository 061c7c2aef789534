"""CloudEvents in requests: told apart, read exactly, written as Eventarc does, or refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.core.cloudevents.attributes import decode_value, encode_value
from triggers.core.cloudevents.decode import Mode, decode, mode_of
from triggers.core.cloudevents.encode import (
    BATCH_TYPE,
    STRUCTURED_TYPE,
    encode_batch,
    encode_binary,
    encode_structured,
)
from triggers.core.cloudevents.publishing import decode_publish, encode_proto
from triggers.core.events import AttributeType, CloudEvent, DataKind, Extension
from triggers.errors import InvalidEvent

PLAIN = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")]
JSON = ("content-type", "application/json")


def refused(headers: list[tuple[str, str]], body: bytes = b"", **limits: int) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        decode(headers, body, **limits)
    return caught.value


def structured(**members: object) -> bytes:
    base: dict[str, object] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    return json.dumps({**base, **members}).encode()


def read(body: bytes) -> CloudEvent:
    (event,) = decode([("Content-Type", STRUCTURED_TYPE)], body)
    return event


@pytest.mark.parametrize(
    ("content_type", "mode"),
    [
        ("application/cloudevents-batch+json", Mode.BATCHED),
        ("Application/CloudEvents+JSON; charset=utf-8", Mode.STRUCTURED),
        ("application/cloudevents", Mode.STRUCTURED),
        ("application/json", Mode.BINARY),
        ("", Mode.BINARY),
    ],
)
def test_the_mode_follows_from_the_content_type(content_type: str, mode: Mode) -> None:
    assert mode_of(content_type) is mode


def test_values_in_headers_are_escaped_as_the_binding_says() -> None:
    assert encode_value("Euro € 😀") == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert encode_value('a"b%c~!') == "a%22b%25c~!"


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Euro%20%e2%82%ac", "Euro €"),
        ('"a \\"quoted\\" %41"', 'a "quoted" A'),
        ("%2541", "%41"),
        ("100%", "100%"),
        ("  x  ", "x"),
        ("\u00e2\u0082\u00ac", "€"),
        ('"', '"'),
    ],
)
def test_a_header_is_taken_out_of_its_quotes_and_decoded_once(header: str, text: str) -> None:
    assert decode_value("ce-x", header) == text


@pytest.mark.parametrize("header", ["%C0%80", "%ED%A0%80", "%FF", "%E2%82", "\u00ff"])
def test_what_is_no_proper_utf8_is_refused(header: str) -> None:
    error = refused([*PLAIN, ("ce-x", header)])
    assert (error.field, error.status) == ("ce-x", 400)


@given(st.text())
def test_any_text_comes_back_out_of_a_header(text: str) -> None:
    escaped = encode_value(text)
    assert all("!" <= c <= "~" and c != '"' for c in escaped)
    assert decode_value("ce-x", escaped) == text


def test_a_binary_event_is_its_headers_and_its_body() -> None:
    (event,) = decode(
        [*PLAIN, ("CE-MethodName", "a%2Fb"), ("ce-time", "2026-01-01T00:00:00.5Z"), JSON],
        b'{"a":1}',
    )
    assert event == CloudEvent(
        "1", "/s", "t", time="2026-01-01T00:00:00.5Z", datacontenttype="application/json",
        extensions=(Extension("methodname", "a/b"),), data=b'{"a":1}', kind=DataKind.JSON,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        ("application/json", b"{", DataKind.BINARY),
        ("application/x+json; charset=utf-8", b"[1]", DataKind.JSON),
        ("application/json", b"NaN", DataKind.BINARY),
        ("text/plain", "ü".encode(), DataKind.TEXT),
        ("text/plain; charset=latin-1", b"\xfc", DataKind.BINARY),
        ("text/plain", b"\xff", DataKind.BINARY),
        ("image/png", b"{}", DataKind.BINARY),
        ("application/json", b"", DataKind.NONE),
    ],
)
def test_data_is_what_its_type_says_and_its_bytes_allow(
    content_type: str, body: bytes, kind: DataKind
) -> None:
    (event,) = decode([*PLAIN, ("content-type", content_type)], body)
    assert (event.kind, event.data) == (kind, body)


@pytest.mark.parametrize(
    ("headers", "field", "words"),
    [
        ([JSON], "", "not a CloudEvent"),
        (PLAIN[1:], "specversion", "missing"),
        ([("ce-specversion", "0.3"), *PLAIN[1:]], "specversion", "allowed: 1.0"),
        (PLAIN[:1] + PLAIN[2:], "id", "missing"),
        ([PLAIN[0], ("ce-id", ""), *PLAIN[2:]], "id", "empty"),
        ([*PLAIN, ("ce-id", "2")], "ce-id", "twice"),
        ([*PLAIN, ("ce-subject", "")], "subject", "empty"),
        ([*PLAIN, ("ce-time", "yesterday")], "time", "RFC 3339"),
        ([*PLAIN, ("ce-time", "2026-02-29T00:00:00Z")], "time", "RFC 3339"),
        ([*PLAIN, ("ce-dataschema", "/relative")], "dataschema", "absolute"),
        ([*PLAIN[:2], ("ce-source", "a b"), PLAIN[3]], "source", "URI-reference"),
        ([*PLAIN, ("ce-datacontenttype", "x/y")], "ce-datacontenttype", "Content-Type"),
        ([*PLAIN, ("ce-data", "x")], "ce-data", "body"),
        ([*PLAIN, ("ce-a_b", "x")], "ce-a_b", "lower-case"),
        ([*PLAIN, ("ce-x", "a%00b")], "x", "U+0000"),
    ],
)
def test_each_way_of_being_no_event_has_its_own_words(
    headers: list[tuple[str, str]], field: str, words: str
) -> None:
    error = refused(headers)
    assert (error.field, error.status) == (field, 400)
    assert words in error.message


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b"[]", "", "an object"),
        (b"", "", "an object"),
        (b"\xff", "", "not UTF-8"),
        (b'{"specversion":"1.0"', "", "missing at character 20"),
        (structured(id=7), "id", "not text"),
        (structured(Name="x"), "Name", "lower-case"),
        (structured(x=1.5), "x", "whole number"),
        (structured(x=2**31), "x", "out of bounds"),
        (structured(x={"a": 1}), "x", "allowed"),
        (structured(x="a\ud800"), "x", "U+D800"),
        (structured(data=1, data_base64="AA=="), "data_base64", "either"),
        (structured(data_base64="A"), "data_base64", "base64"),
        (structured(data=1, datacontenttype="text/plain"), "data", "text"),
        (b'{"id":"1","id":"2"}', "id", "twice"),
        (structured() + b"x", "", "after the end"),
        (b'{"specversion":"1.0","a":' + b"[" * 100_000, "", "nested"),
        (structured(id=None), "id", "missing"),
    ],
)
def test_each_way_of_being_no_json_event_has_its_own_words(
    body: bytes, field: str, words: str
) -> None:
    error = refused([("content-type", "application/cloudevents+json")], body)
    assert (error.field, error.status) == (field, 400)
    assert words in error.message


def test_json_data_keeps_the_spelling_in_which_it_came() -> None:
    event = read(
        b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data": {"n": 1.10, "e":1e400} }'
    )
    assert (event.data, event.kind) == (b'{"n": 1.10, "e":1e400}', DataKind.JSON)


@pytest.mark.parametrize(
    ("members", "data", "kind"),
    [
        ({"data": "text"}, b'"text"', DataKind.JSON),
        ({"data": None}, b"null", DataKind.JSON),
        ({"data": "text", "datacontenttype": "text/plain"}, b"text", DataKind.TEXT),
        ({"data": None, "datacontenttype": "text/plain"}, b"", DataKind.NONE),
        ({"data_base64": "/w=="}, b"\xff", DataKind.BINARY),
        ({"data_base64": "e30="}, b"{}", DataKind.JSON),
        ({}, b"", DataKind.NONE),
    ],
)
def test_data_in_json_follows_its_content_type(
    members: dict[str, object], data: bytes, kind: DataKind
) -> None:
    event = read(structured(**members))
    assert (event.data, event.kind) == (data, kind)


def test_types_of_attributes_are_those_of_json_and_null_is_none() -> None:
    event = read(structured(a=True, b=7, c="x", d=None))
    assert event.extensions == (
        Extension("a", True, AttributeType.BOOLEAN),
        Extension("b", 7, AttributeType.INTEGER),
        Extension("c", "x"),
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+xml",
        "application/cloudevents+json; charset=latin-1",
        "application/cloudevents-batch+avro",
        "application/cloudeventsx",
    ],
)
def test_formats_that_are_not_json_in_utf8_are_415(content_type: str) -> None:
    assert refused([("content-type", content_type)], structured()).status == 415


def test_what_is_too_large_is_413_and_64_kib_are_not() -> None:
    body = b"x" * 64 * 1024
    (event,) = decode([*PLAIN, ("content-type", "text/plain")], body)
    assert event.data == body
    assert refused([*PLAIN, ("content-type", "text/plain")], body, limit=65_536).status == 413
    batch = [("content-type", BATCH_TYPE)]
    two = b"[" + structured() + b"," + structured(data="x" * 200) + b"]"
    assert refused(batch, two, limit=100).at == 1
    assert refused(batch, two, most=1).status == 413
    assert refused(batch, two, batch_limit=100).status == 413


def test_a_batch_is_taken_whole_or_not_at_all_and_says_which_is_wrong() -> None:
    batch = [("content-type", "application/cloudevents-batch+json")]
    assert decode(batch, b" [ ] ") == []
    events = decode(batch, b"[" + structured(id="a") + b" , " + structured(id="b") + b"]")
    assert [event.id for event in events] == ["a", "b"]
    error = refused(batch, b"[" + structured() + b"," + structured(type="") + b"]")
    assert error.message == "events[1].type: it is empty"
    for body in (b"{}", b"[", b"[" + structured() + b",]", b"[] x", b"[1]"):
        assert refused(batch, body).status == 400


def test_headers_are_written_as_eventarc_writes_them() -> None:
    event = CloudEvent(
        "12761621150588617", "//storage.googleapis.com/projects/_/buckets/receipts",
        "google.cloud.storage.object.v1.finalized", "objects/für 1.jpg",
        "2024-11-28T22:28:56.763855Z", "application/json",
        extensions=(Extension("bucket", "receipts"),), data=b"{}", kind=DataKind.JSON,
    )  # fmt: skip
    headers, body = encode_binary(event)
    assert body == b"{}"
    assert dict(headers) == {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "12761621150588617",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/receipts",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-subject": "objects/f%C3%BCr%201.jpg",
        "ce-time": "2024-11-28T22:28:56.763855Z",
        "ce-bucket": "receipts",
    }


# ---------------------------------------------------------------- anything at all

allowed = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co"), exclude_characters="\x7f"
)
texts = st.text(allowed, min_size=1, max_size=12)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=10).filter(
    lambda name: name not in CloudEvent.__dataclass_fields__ and name != "specversion"
)
values = st.one_of(
    texts.map(lambda v: (v, AttributeType.STRING)),
    st.integers(-(2**31), 2**31 - 1).map(lambda v: (v, AttributeType.INTEGER)),
    st.booleans().map(lambda v: (v, AttributeType.BOOLEAN)),
)
json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(allowed),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(allowed), inner, max_size=3)
    ),
    max_leaves=8,
).map(lambda value: (json.dumps(value).encode(), DataKind.JSON, "application/json"))
data = st.one_of(
    st.just((b"", DataKind.NONE, None)),
    json_data,
    texts.map(lambda v: (v.encode(), DataKind.TEXT, "text/plain")),
    st.binary(min_size=1).map(lambda v: (v, DataKind.BINARY, "image/png")),
)


@st.composite
def events(draw: st.DrawFn) -> CloudEvent:
    body, kind, content_type = draw(data)
    own = draw(st.dictionaries(names, values, max_size=4))
    return CloudEvent(
        draw(texts.map(str.strip).filter(bool)),
        draw(
            st.sampled_from(["/s", "//p.googleapis.com/projects/p", "urn:x:%20", "https://h/?a=b"])
        ),
        draw(texts),
        draw(st.none() | texts),
        draw(st.none() | st.just("2026-01-01T00:00:00.123456789+01:00")),
        content_type,
        draw(st.none() | st.just("https://example.com/schema")),
        tuple(Extension(name, value, kind) for name, (value, kind) in own.items()),
        body,
        kind,
    )


def as_text(event: CloudEvent) -> CloudEvent:
    """What HTTP headers can say: all extensions are text."""
    own = tuple(
        Extension(
            one.name, str(one.value).lower() if isinstance(one.value, bool) else str(one.value)
        )
        for one in event.extensions
    )
    return CloudEvent(
        event.id, event.source, event.type, event.subject, event.time, event.datacontenttype,
        event.dataschema, own, event.data, event.kind,
    )  # fmt: skip


@given(events())
def test_an_event_comes_back_from_each_mode(event: CloudEvent) -> None:
    headers, body = encode_binary(event)
    assert decode(headers, body) == [as_text(event)]
    text = encode_structured(event)
    assert decode([("content-type", STRUCTURED_TYPE)], text) == [event]
    batch = encode_batch([event, event])
    assert decode([("content-type", BATCH_TYPE)], batch) == [event, event]


@given(events())
def test_an_event_comes_back_from_the_publishing_api(event: CloudEvent) -> None:
    assert decode_publish({"events": [encode_proto(event)]}) == [event]
    assert decode_publish({"textEvents": [encode_structured(event).decode()]}) == [event]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5)
            | st.sampled_from(
                [
                    "specversion",
                    "specVersion",
                    "id",
                    "source",
                    "type",
                    "data",
                    "attributes",
                    "ceString",
                    "ceInteger",
                    "textData",
                    "binaryData",
                    "protoData",
                    "events",
                    "textEvents",
                    "@type",
                    "data_base64",
                    "time",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
header_names = st.sampled_from(
    [
        "content-type",
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-specversion",
        "ce-time",
        "ce-x",
        "ce-",
        "x",
    ]
) | st.text(max_size=8)
header_values = st.text(max_size=20) | st.sampled_from(
    ["1.0", "application/cloudevents+json", BATCH_TYPE, "application/json", "%C3%28", '"%"', "t"]
)


def answer(error: InvalidEvent, *allowed: int) -> None:
    assert error.status in allowed
    assert error.message


@settings(max_examples=300)
@given(
    st.lists(st.tuples(header_names, header_values), max_size=8),
    st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()),
)
def test_nothing_that_comes_in_raises_anything_but_our_error(
    headers: list[tuple[str, str]], body: bytes
) -> None:
    try:
        found = decode(headers, body)
    except InvalidEvent as error:
        answer(error, 400, 413, 415)
        return
    for event in found:
        encode_binary(event)
        assert len(decode([("content-type", STRUCTURED_TYPE)], encode_structured(event))) == 1


@settings(max_examples=300)
@given(anything, anything)
def test_nothing_that_is_published_raises_anything_but_our_error(
    document: object, event: object
) -> None:
    for body in (document, {"events": [event]}, {"textEvents": [event]}):
        try:
            decode_publish(body)
        except InvalidEvent as error:
            answer(error, 400, 413)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "events: there is none"),
        ({"events": [{}], "textEvents": ["{}"]}, "either"),
        ({"events": [{"@type": "x"}]}, "events[0].@type"),
        ({"events": [{"id": "1"}]}, "events[0].specversion"),
        ({"textEvents": [5]}, "not text"),
        ({"events": {}}, "there is none"),
    ],
)
def test_what_cannot_be_published_is_named(document: object, words: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode_publish(document)
    assert words in caught.value.message


def test_what_gcloud_publishes_is_read() -> None:
    (event,) = decode_publish(
        {
            "events": [
                {
                    "@type": "type.googleapis.com/io.cloudevents.v1.CloudEvent",
                    "id": "1234", "source": "//x", "specVersion": "1.0", "type": "com.ex.v1",
                    "attributes": {
                        "time": {"ceTimestamp": "2026-01-01T00:00:00Z"},
                        "datacontenttype": {"ceString": "application/json"},
                        "attr1": {"ceString": "v"},
                        "count": {"ce_integer": 5},
                    },
                    "textData": '{"k":1}',
                }
            ]
        }
    )  # fmt: skip
    assert event == CloudEvent(
        "1234", "//x", "com.ex.v1", time="2026-01-01T00:00:00Z", datacontenttype="application/json",
        extensions=(Extension("attr1", "v"), Extension("count", 5, AttributeType.INTEGER)),
        data=b'{"k":1}', kind=DataKind.JSON,
    )  # fmt: skip
