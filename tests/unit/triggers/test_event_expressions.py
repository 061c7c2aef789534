"""Expressions over events mean what CloudEvents SQL says, and always come to an end."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import InvalidSpec
from triggers.core.cesql import FUNCTIONS, parse_expression
from triggers.core.events import AttributeType, CloudEvent, Extension
from triggers.core.expression import evaluate, like

EVENT = CloudEvent(
    "e1", "/shop", "com.example.order", "orders/7",
    extensions=(
        Extension("count", "12"), Extension("big", True, AttributeType.BOOLEAN),
        Extension("n", 5, AttributeType.INTEGER), Extension("raw", b"\x01", AttributeType.BINARY),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("type = 'com.example.order'", True),
        ('type <> "com.example.order"', False),
        ("'it\\'s'", "it's"),
        ("count = 12", True),
        ("count > 9 AND count <= 12", True),
        ("count + n * 2", 22),
        ("(count + n) * 2", 34),
        ("-n - -1", -4),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7 % -2", 1),
        ("10 - 3 - 2", 5),
        ("-2147483648", -2147483648),
        ("+5", 5),
        ("big", True),
        ("big = 'true'", True),
        ("NOT big", False),
        ("not exists missing", True),
        ("EXISTS subject AND subject LIKE 'orders/%'", True),
        ("subject NOT LIKE 'orders/_'", False),
        ("id IN ('e1', 'e2')", True),
        ("n IN ('4', '6')", False),
        ("n NOT IN (4, 6)", True),
        ("true XOR true", False),
        ("true OR false AND false", True),
        ("false AND missing = 'x'", False),
        ("true OR missing = 'x'", True),
        ("LENGTH(type)", 17),
        ("concat('a', n, big)", "a5true"),
        ("CONCAT_WS('-', 'a', 'b')", "a-b"),
        ("LOWER('AB') = 'ab' AND UPPER('ab') = 'AB'", True),
        ("TRIM('  a ')", "a"),
        ("LEFT('abc', 2)", "ab"),
        ("RIGHT('abc', 5)", "abc"),
        ("RIGHT('abc', 0)", ""),
        ("SUBSTRING('abc', 2)", "bc"),
        ("SUBSTRING('abcdef', -3, 2)", "de"),
        ("SUBSTRING('abc', 0)", ""),
        ("ABS(-3)", 3),
        ("INT('7') + BOOL('true')", 8),
        ("IS_INT('x') OR IS_BOOL('FALSE')", True),
        ("STRING(5)", "5"),
        ("raw", "AQ=="),
    ],
)
def test_an_expression_has_the_value_that_is_specified(text: str, value: object) -> None:
    found = evaluate(text, EVENT)
    assert (found.value, found.errors) == (value, ())
    assert type(found.value) is type(value)
    assert found.passes is (value is True)


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("missing = 'x'", False, "no attribute 'missing'"),
        ("missing = 'x' OR true", True, "no attribute 'missing'"),
        ("type = 1", False, "'com.example.order' is not a whole number"),
        ("type != 1", False, "'com.example.order' is not a whole number"),
        ("NOT type", True, "is not true or false"),
        ("1 / 0", 0, "has no result"),
        ("1 % 0", 0, "has no result"),
        ("2147483647 + 1", 0, "32 bits"),
        ("LEFT('abc', -1)", "abc", "LEFT of -1"),
        ("SUBSTRING('abc', 4)", "", "no character 4"),
        ("ABS(-2147483648)", 2147483647, "out of bounds"),
    ],
)
def test_what_goes_wrong_is_said_and_the_event_does_not_pass(
    text: str, value: object, words: str
) -> None:
    found = evaluate(text, EVENT)
    assert found.value == value
    assert words in found.reason
    assert not found.passes


def test_what_is_not_true_or_false_does_not_pass() -> None:
    assert evaluate("LENGTH(id)", EVENT).reason == "the expression is '2', not true or false"
    assert evaluate("n = 4", EVENT).reason == "the expression is false"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at character 1: it ends where a value"),
        ("type =", "at character 7: it ends"),
        ("type = 'x", "the quote is not closed"),
        ("Type = 'x'", "lower-case letters"),
        ("data = 'x'", "the data of an event is not one"),
        ("LENGHT(id)", "did you mean LENGTH?"),
        ("LENGTH()", "takes 1 arguments, not 0"),
        ("id LIKE type", "a pattern in quotes"),
        ("id IN ()", "there is ')'"),
        ("(true", "')' is wanted"),
        ("true true", "an operator or the end"),
        ("4294967296", "32 bits"),
        ("2147483648", "32 bits"),
        ("id = 'a' AND", "it ends"),
        ("x" * 5000, "at most 4096"),
        ("(" * 1000 + "true" + ")" * 1000, "more than 120"),
        (" AND ".join(["true"] * 400), "more than 120"),
        ("NOT " * 900 + "true", "more than 120"),
        ("1" + " + 1" * 500, "more than 120"),
        ("a & b", "there is '&'"),
    ],
)
def test_what_is_no_expression_is_refused_at_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        evaluate(text, EVENT)
    assert words in caught.value.message


# ---------------------------------------------------------------- anything at all

leaves = st.sampled_from(
    ["true", "FALSE", "0", "-7", "2147483647", "'a'", "'12'", "''", "id", "n", "big", "missing",
     "EXISTS id", "EXISTS missing"]
)  # fmt: skip
operators = st.sampled_from(
    ["AND", "or", "XOR", "=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"]
)
calls = st.sampled_from([(name, least) for name, (least, _) in FUNCTIONS.items()])
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, operators, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, operators, inner).map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        inner.map(lambda one: f"NOT ({one})"),
        inner.map(lambda one: f"-({one})"),
        inner.map(lambda one: f"({one}) LIKE '%1_'"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]}) NOT IN ({t[1]}, 1, 'a')"),
        st.tuples(calls, inner).map(lambda t: f"{t[0][0]}({', '.join([t[1]] * t[0][1])})"),
    ),
    max_leaves=10,
)


@given(expressions)
def test_every_expression_comes_to_a_value(text: str) -> None:
    found = evaluate(text, EVENT)
    assert isinstance(found.value, (bool, int, str))
    if isinstance(found.value, int):
        assert -(2**31) <= found.value < 2**31
    assert found.passes == (found.value is True and not found.errors)


@given(st.text("aeinrtANDORXLIKE'\"()<>=!+-*/%,_ 0123", max_size=40) | st.text(max_size=30))
def test_nothing_that_is_written_as_an_expression_raises_anything_but_our_error(text: str) -> None:
    try:
        parse_expression(text)
    except InvalidSpec:
        return
    evaluate(text, EVENT)


@given(st.text("ab%_\\", max_size=12), st.text("ab%_\\", max_size=8))
def test_like_agrees_with_a_regular_expression(text: str, pattern: str) -> None:
    regex = ""
    for escaped, plain in re.findall(r"\\([%_\\])|(.)", pattern, re.DOTALL):
        regex += (
            re.escape(escaped) if escaped else {"%": ".*", "_": "."}.get(plain, re.escape(plain))
        )
    assert like(text, pattern) is bool(re.fullmatch(regex, text, re.DOTALL))


def test_a_hard_pattern_is_answered_at_once() -> None:
    assert not like("a" * 5000, "%a" * 50 + "%b")
