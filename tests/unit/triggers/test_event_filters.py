"""Filters of subscriptions and of event triggers agree as published, and say why they do not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import InvalidSpec
from triggers.core.event_filters import all_agree, answers
from triggers.core.event_triggers import EventFilter
from triggers.core.events import CloudEvent, Extension
from triggers.core.message_filters import (
    Equals,
    Group,
    Has,
    MessageFilter,
    Not,
    Prefix,
    explain_filter,
    matches,
    parse_message_filter,
    passes,
    written,
)
from triggers.core.path_patterns import match_path, parse_path_pattern, why_not

HAVE = {"kind": "a", "iana.org/lang": "de", "n-1": "x"}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("", True),
        ("attributes:kind", True),
        ("attributes:other", False),
        ('attributes:"iana.org/lang"', True),
        ('attributes.kind = "a"', True),
        ('attributes.kind="A"', False),
        ('attributes.kind != "a"', False),
        ('attributes.other != "a"', True),
        ('attributes.n-1 = "x"', True),
        ('hasPrefix(attributes.kind, "a")', True),
        ('hasPrefix(attributes."iana.org/lang", "en")', False),
        ('hasPrefix(attributes.other, "")', False),
        ("NOT attributes:other", True),
        ("-attributes:kind", False),
        ("NOT NOT attributes:kind", True),
        ("NOT attributes:other AND attributes:kind", True),
        ("attributes:other OR attributes:kind OR attributes:x", True),
        ("(attributes:other OR attributes:kind) AND attributes:x", False),
        ("NOT (attributes:kind AND attributes:x)", True),
        ('attributes.kind = "a\\"b"', False),
    ],
)
def test_a_message_filter_means_what_is_published(text: str, verdict: bool) -> None:
    assert passes(text, HAVE) is verdict
    assert explain_filter(text, HAVE).passes is verdict


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("attributes", "at character 11: it ends where '.' is wanted"),
        ("attributes:a and attributes:b", "operators are upper case: AND"),
        ("attributes:a AND attributes:b OR attributes:c", "mixed"),
        ("attributes:a attributes:b", "where AND, OR or the end is wanted"),
        ("attributes.a = b", "a value in double quotes"),
        ('attributes.a = "b', "not closed"),
        ('attributes.a > "b"', "= or != is wanted"),
        ("attributes.", "the key of an attribute"),
        ('attributes:""', "is empty"),
        ('attributes.a = "\\n"', "no escape"),
        ("(attributes:a", "it ends where ')' is wanted"),
        ('hasPrefix(attributes.a "x")', "',' is wanted"),
        ('data = "x"', "attributes, hasPrefix"),
        ("attributes:a OR", "it ends"),
        ('attributes:"' + "x" * 250 + '"', "at most 256"),
    ],
)
def test_what_is_no_filter_is_refused_at_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_message_filter(text)
    assert caught.value.violations[0].field == "filter"
    assert words in caught.value.message


def test_a_filter_that_says_no_says_which_part_and_what_the_message_has() -> None:
    verdict = explain_filter('attributes:kind AND attributes.kind = "b"', HAVE)
    assert verdict.reason == """attributes.kind = "b" says no: the message has 'a'"""
    verdict = explain_filter("attributes:x OR NOT attributes:kind", HAVE)
    assert verdict.reason == (
        "attributes:x says no: the message has no such attribute; "
        "NOT says no, because attributes:kind agrees: the message has 'a'"
    )


keys = st.sampled_from(["a", "b-1", "x/y", "é"])
values = st.sampled_from(["", "a", "ab", 'q"', "\\"])
leaves: st.SearchStrategy[MessageFilter] = st.one_of(
    st.builds(Has, keys),
    st.builds(Equals, keys, values, st.booleans()),
    st.builds(Prefix, keys, values),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(Group, st.lists(inner, min_size=2, max_size=3).map(tuple), st.booleans()),
    ),
    max_leaves=4,
).filter(lambda tree: len(written(tree).encode()) <= 256)


@given(trees, st.dictionaries(keys, values))
def test_a_filter_is_read_as_it_was_written_and_explained_as_it_decides(
    tree: MessageFilter, have: dict[str, str]
) -> None:
    assert parse_message_filter(written(tree)) == tree
    assert explain_filter(written(tree), have).passes is matches(tree, have)


@given(st.text('attribues:.=!"()-NOTANDRhsPefix, \\ab', max_size=60) | st.text(max_size=40))
def test_nothing_that_is_written_as_a_filter_raises_anything_but_our_error(text: str) -> None:
    try:
        tree = parse_message_filter(text)
    except InvalidSpec:
        return
    matches(tree, HAVE)


# ---------------------------------------------------------------- path patterns


@pytest.mark.parametrize(
    ("pattern", "text", "kept"),
    [
        ("/projects/_/buckets/b/objects/**", "projects/_/buckets/b/objects/x/y", {}),
        ("/projects/_/buckets/b/objects/**", "projects/_/buckets/b/objects", {}),
        ("projects/*/x", "/projects/p/x", {}),
        ("projects/*/x", "projects/p/q/x", None),
        ("a/r*.txt", "a/report.txt", {}),
        ("a/r*.txt", "a/r.txt", {}),
        ("a/r*.txt", "a/r.tx", None),
        ("a/**/r*.txt", "a/r1.txt", {}),
        ("a/**/r*.txt", "a/b/c/r1.txt", {}),
        ("a/*b*b", "a/xbyb", {}),
        ("a/*b*b", "a/b", None),
        ("users/{user}/notes/{rest=**}", "users/u1/notes/a/b", {"user": "u1", "rest": "a/b"}),
        ("{a=**}/x/{b=**}", "1/x/2/x/3", {"a": "1/x/2", "b": "3"}),
        ("users/{user=*}", "users/a/b", None),
        ("exact", "exact", {}),
        ("exact", "exacter", None),
        ("a.c", "abc", None),
    ],
)
def test_path_patterns_match_as_published(
    pattern: str, text: str, kept: dict[str, str] | None
) -> None:
    assert match_path(parse_path_pattern(pattern), text) == kept


@pytest.mark.parametrize("pattern", ["a**b", "{a", "x{a}", "{a}/{a}", "{a=b}", "x" * 3000])
def test_what_is_no_path_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_path_pattern(pattern)


def as_regex(pattern: str) -> str:
    """Another way to say the same, for small patterns."""
    parts = pattern.split("/")
    found = ""
    for part in parts:
        if part == "**":
            found += "(?:/[^/]*)*"
        else:
            found += "/" + "[^/]*".join(re.escape(piece) for piece in part.split("*"))
    return found


pieces = st.sampled_from(["a", "b", "*", "**", "a*", "*b", "a*b"])


@given(
    st.lists(pieces, min_size=1, max_size=5).map("/".join),
    st.lists(st.sampled_from(["a", "b", "ab", "axb", ""]), min_size=1, max_size=5).map("/".join),
)
def test_path_patterns_agree_with_a_regular_expression(pattern: str, text: str) -> None:
    plain = text.removeprefix("/")
    found = match_path(parse_path_pattern(pattern), text)
    assert (found is not None) == bool(re.fullmatch(as_regex(pattern), f"/{plain}"))
    if found is None:
        assert why_not(parse_path_pattern(pattern), text)


def test_a_hard_pattern_is_answered_at_once() -> None:
    pattern = parse_path_pattern("/".join(["**", "a*a*a*a*b"] * 20))
    assert match_path(pattern, "/".join(["a" * 40] * 200)) is None


# ---------------------------------------------------------------- filters of triggers

EVENT = CloudEvent(
    "1", "/s", "google.cloud.audit.log.v1.written", "storage.googleapis.com/projects/_/buckets/b",
    extensions=(
        Extension("servicename", "storage.googleapis.com"),
        Extension("resourcename", "projects/_/buckets/b/objects/in/o.txt"),
    ),
)  # fmt: skip
TYPE = EventFilter("type", "google.cloud.audit.log.v1.written")


def test_filters_must_all_agree_and_letter_case_of_names_does_not_count() -> None:
    filters = [
        TYPE,
        EventFilter("serviceName", "storage.googleapis.com"),
        EventFilter(
            "resourceName", "/projects/_/buckets/b/objects/{dir}/*.txt", "match-path-pattern"
        ),
    ]
    found = answers(filters, EVENT)
    assert [one.agrees for one in found] == [True] * 3
    assert found[2].captures == {"dir": "in"}
    assert all_agree(filters, EVENT)
    exact = EventFilter("resourceName", "/projects/_/buckets/b/objects/in/o.txt")
    assert all_agree([exact], EVENT)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (EventFilter("type", "x"), "type is 'google.cloud.audit.log.v1.written', not 'x'"),
        (EventFilter("methodName", "m"), "the event has no attribute 'methodName'"),
        (
            EventFilter("resourceName", "/projects/_/buckets/c/**", "match-path-pattern"),
            "resourceName does not match '/projects/_/buckets/c/**': segment 4 is 'b', not 'c'",
        ),
        (
            EventFilter("subject", "a/b", "match-path-pattern"),
            "subject does not match 'a/b': segment 1 is 'storage.googleapis.com', not 'a'",
        ),
    ],
)
def test_a_filter_that_does_not_agree_says_why(one: EventFilter, reason: str) -> None:
    (found,) = answers([one], EVENT)
    assert (found.agrees, found.reason) == (False, reason)
    assert not all_agree([TYPE, one], EVENT)
