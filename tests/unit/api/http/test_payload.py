"""JSON of requests: read strictly, refused with the place named."""

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobrunner.api.errors import MalformedCall
from jobrunner.api.http.payload import DEEPEST, decode, encode

TEXT = st.text().filter(lambda text: "\0" not in text)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, VALUES), st.booleans())
def test_what_json_can_say_is_read_as_it_was_said(value: dict[str, object], ascii_: bool) -> None:
    assert decode(json.dumps(value, ensure_ascii=ascii_).encode()) == value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"a": 1,\n "b" 2}', "line 2 column 6"),
        (b'{"a": 1} x', "line 1 column 10"),
        (b"{", "line 1 column 2"),
        (b" ", "line 1 column 2"),
        (b"\xef\xbb\xbf{}", "line 1 column 1"),
        (b"{'a': 1}", "line 1 column 2"),
        (b'{"a": "\t"}', "line 1 column 8"),
        (b'{"a": "\\x"}', "line 1 column 8"),
        (b'{"a": 01}', "line 1 column 8"),
        (b'{"a": NaN}', "NaN is not a number of JSON"),
        (b'{"a": -Infinity}', "-Infinity is not a number of JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' occurs twice"),
        (b'{"a": "\xff"}', "UTF-8 at byte 7"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "x\\u0000"}', "u0000"),
        (b'{"\\u0000": 1}', "u0000"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "100 levels"),
        (b"[" * 1_000_000, "100 levels"),
        (b'{"a":' * 100_000, "100 levels"),
        (b'{"a": "' + b'\\"' * 3_000_000, "line 1 column 7"),
    ],
)
def test_what_is_wrong_is_said_and_where(body: bytes, message: str) -> None:
    with pytest.raises(MalformedCall) as refused:
        decode(body)
    assert message in refused.value.message
    assert refused.value.message.startswith("Invalid JSON payload received.")
    assert len(refused.value.message) < 300


def test_brackets_within_texts_are_no_levels() -> None:
    text = "[{" * 1000 + '\\"' * 10
    assert decode(json.dumps({"a": text}).encode()) == {"a": text}


def test_many_brackets_side_by_side_are_not_deep() -> None:
    value = {"a": [{"b": [n]} for n in range(1000)]}
    assert decode(json.dumps(value).encode()) == value


def test_the_deepest_allowed_is_read() -> None:
    body = b'{"a":' * DEEPEST + b"1" + b"}" * DEEPEST
    assert decode(body)


def test_an_escaped_backslash_before_a_u_is_no_escape() -> None:
    assert decode(b'{"a": "\\\\u0000 \\ud83d\\ude00"}') == {"a": "\\u0000 \U0001f600"}


@given(st.binary())
@example(b'{"a":1e' + b"9" * 10_000 + b"}")
def test_any_bytes_are_read_or_cleanly_refused(body: bytes) -> None:
    for whole in (body, b'{"a":' + body + b"}", b'{"a":"' + body + b'"}'):
        with contextlib.suppress(MalformedCall):
            assert isinstance(decode(whole), dict)


def test_answers_are_short_unless_they_are_for_people() -> None:
    assert encode({"a": [1], "b": "ä"}) == '{"a":[1],"b":"ä"}'.encode()
    assert encode({"a": 1}, pretty=True) == b'{\n  "a": 1\n}\n'
