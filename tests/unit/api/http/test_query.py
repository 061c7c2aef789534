"""The query string: parameters of methods come through, those of the system do not."""

import contextlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.api.errors import MalformedCall
from jobrunner.api.http.query import query_token, read_query


@pytest.mark.parametrize(
    "raw",
    [
        "", "alt=json", "$alt=json;enum-encoding=int", "%24alt=json%3Benum-encoding%3Dint",
        "fields=a(b)", "key=k", "access_token=t", "quotaUser=u", "$.xgafv=1", "uploadType=x", "&&",
    ],
)  # fmt: skip
def test_parameters_of_the_system_are_accepted_and_kept_from_methods(raw: str) -> None:
    assert read_query(raw.encode()).params == {}


def test_parameters_of_the_method_come_through_decoded() -> None:
    raw = b"alt=json&labelSelector=a+%3D+b%2Cc+in+(d)&validateOnly=False&pageToken="
    assert read_query(raw).params == {
        "labelSelector": "a = b,c in (d)",
        "validateOnly": "False",
        "pageToken": "",
    }


@pytest.mark.parametrize(
    ("raw", "pretty"),
    [("prettyPrint=true", True), ("$prettyPrint=1", True), ("prettyPrint=false", False)],
)
def test_pretty_print_is_honoured(raw: str, pretty: bool) -> None:
    assert read_query(raw.encode()).pretty is pretty


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("callback=evil", "callback"),
        ("$callback=evil", "callback"),
        ("a=1&a=2", "'a' occurs twice"),
        ("a=%00", "u0000"),
        ("a=%ff", "UTF-8"),
        ("a=\xff", "UTF-8"),
        ("&".join(f"p{n}=1" for n in range(101)), "more than 100"),
    ],
)
def test_what_has_no_or_two_readings_is_refused(raw: str, message: str) -> None:
    with pytest.raises(MalformedCall) as refused:
        read_query(raw.encode("latin-1"))
    assert message in refused.value.message


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_what_was_encoded_is_read_back(params: dict[str, str]) -> None:
    params = {f"x{name}": value for name, value in params.items()}
    if any("\0" in name or "\0" in value for name, value in params.items()):
        return
    assert read_query(urlencode(params).encode()).params == params


@given(st.binary())
def test_any_bytes_are_read_or_cleanly_refused(raw: bytes) -> None:
    with contextlib.suppress(MalformedCall):
        read_query(raw)


@pytest.mark.parametrize(
    ("raw", "token"),
    [
        (b"", None),
        (b"a=b", None),
        (b"access_token=abc", "abc"),
        (b"x=1&access_token=a%2Bb&y=2", "a+b"),
        (b"my_access_token=abc", None),
        (b"access_token=%FF", "\ufffd"),
        (b"access_token=\xff", None),
    ],
)
def test_a_token_in_the_query_is_found(raw: bytes, token: str | None) -> None:
    assert query_token(raw) == token


def test_two_tokens_in_the_query_are_refused() -> None:
    with pytest.raises(MalformedCall, match="occurs twice"):
        query_token(b"access_token=a&access_token=b")
