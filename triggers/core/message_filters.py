"""Filters of Pub/Sub subscriptions over the attributes of a message.

::

    attributes:KEY                 it has the attribute
    attributes.KEY = "v"           it has it, with this value
    attributes.KEY != "v"          the opposite: also of a message without it
    hasPrefix(attributes.KEY, "p")
    NOT x   -x   x AND y   x OR y   ( x )

A KEY of other characters than letters, digits, ``-`` and ``_`` is quoted. Operators are upper case;
NOT binds tightest; AND and OR are mixed only with parentheses. At most 256 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from jobrunner.errors import InvalidSpec, Violation
from triggers.core.cron import show

MAX_FILTER = 256
"""Bytes."""

_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"(?:[^\"\\]|\\.)*\")|(?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)"
    r"|(?P<mark>!=|[=:.,()-])|(?P<end>$)|(?P<wrong>.))",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Has:
    key: str


@dataclass(frozen=True, slots=True)
class Equals:
    key: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Prefix:
    key: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Not:
    inner: MessageFilter


@dataclass(frozen=True, slots=True)
class Group:
    """All of ``parts``, or any of them."""

    parts: tuple[MessageFilter, ...]
    every: bool


MessageFilter = Has | Equals | Prefix | Not | Group


@dataclass(frozen=True, slots=True)
class FilterVerdict:
    """``reason`` says in words which part decided, and what the message has there."""

    passes: bool
    reason: str


@lru_cache(maxsize=1024)
def parse_message_filter(text: str, field: str = "filter") -> MessageFilter:
    """Raises InvalidSpec that names the place, from 1."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_FILTER:
        problem = f"{size} bytes are too many; allowed: at most {MAX_FILTER}"
        raise InvalidSpec([Violation(field, problem)])
    return _Parser(text, field).whole()


def passes(text: str, attributes: Mapping[str, str]) -> bool:
    """An empty filter lets all pass. Raises InvalidSpec."""
    return not text.strip() or matches(parse_message_filter(text), attributes)


def matches(node: MessageFilter, attributes: Mapping[str, str]) -> bool:
    match node:
        case Has(key):
            return key in attributes
        case Equals(key, value, negated):
            return (attributes.get(key) == value) != negated
        case Prefix(key, prefix):
            found = attributes.get(key)
            return found is not None and found.startswith(prefix)
        case Not(inner):
            return not matches(inner, attributes)
        case Group(parts, every):
            found_all = (matches(part, attributes) for part in parts)
            return all(found_all) if every else any(found_all)


def explain_filter(text: str, attributes: Mapping[str, str]) -> FilterVerdict:
    """Raises InvalidSpec."""
    if not text.strip():
        return FilterVerdict(True, "there is no filter")
    return _explain(parse_message_filter(text), attributes)


def written(node: MessageFilter) -> str:
    """A filter that means the same, in one spelling."""
    match node:
        case Has(key):
            return f"attributes:{_key(key)}"
        case Equals(key, value, negated):
            return f"attributes.{_key(key)} {'!=' if negated else '='} {_quoted(value)}"
        case Prefix(key, prefix):
            return f"hasPrefix(attributes.{_key(key)}, {_quoted(prefix)})"
        case Not(inner):
            return f"NOT {_inner(inner)}"
        case Group(parts, every):
            return (" AND " if every else " OR ").join(_inner(part) for part in parts)


def _explain(node: MessageFilter, attributes: Mapping[str, str]) -> FilterVerdict:
    match node:
        case Has(key) | Equals(key) | Prefix(key):
            has = f"'{show(attributes[key])}'" if key in attributes else "no such attribute"
            passed = matches(node, attributes)
            word = "agrees" if passed else "says no"
            return FilterVerdict(passed, f"{written(node)} {word}: the message has {has}")
        case Not(inner):
            inside = _explain(inner, attributes)
            word = "says no" if inside.passes else "agrees"
            return FilterVerdict(not inside.passes, f"NOT {word}, because {inside.reason}")
        case Group(parts, every):
            verdicts = [_explain(part, attributes) for part in parts]
            for verdict in verdicts:
                if verdict.passes is not every:
                    return verdict
            return FilterVerdict(every, "; ".join(verdict.reason for verdict in verdicts))


def _inner(node: MessageFilter) -> str:
    return f"({written(node)})" if isinstance(node, Group) else written(node)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", key) else _quoted(key)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Parser:
    def __init__(self, text: str, field: str) -> None:
        self._text = text
        self._field = field
        self._tokens = [
            (
                match.lastgroup or "end",
                match[match.lastgroup or 0],
                match.start(match.lastgroup or 0),
            )
            for match in _TOKEN.finditer(text)
        ]
        self._next = 0

    def whole(self) -> MessageFilter:
        node = self._expression()
        if self._kind() != "end":
            self._fail("AND, OR or the end")
        return node

    def _expression(self) -> MessageFilter:
        parts = [self._unary()]
        operator = self._peek()
        if operator not in {"AND", "OR"}:
            return parts[0]
        while self._peek() in {"AND", "OR"}:
            if self._peek() != operator:
                self._refuse("AND and OR are mixed; say by parentheses what belongs together")
            self._take()
            parts.append(self._unary())
        return Group(tuple(parts), operator == "AND")

    def _unary(self) -> MessageFilter:
        if self._peek() in {"NOT", "-"}:
            self._take()
            return Not(self._unary())
        if self._peek() == "(":
            self._take()
            node = self._expression()
            self._expect(")")
            return node
        if self._peek() == "hasPrefix":
            return self._prefix()
        if self._peek() != "attributes":
            self._fail("attributes, hasPrefix, NOT or '('")
        self._take()
        if self._peek() == ":":
            self._take()
            return Has(self._attribute())
        self._expect(".")
        key = self._attribute()
        operator = self._peek()
        if operator not in {"=", "!="}:
            self._fail("= or !=")
        self._take()
        return Equals(key, self._string(), operator == "!=")

    def _prefix(self) -> MessageFilter:
        self._take()
        for mark in ("(", "attributes", "."):
            self._expect(mark)
        key = self._attribute()
        self._expect(",")
        value = self._string()
        self._expect(")")
        return Prefix(key, value)

    def _attribute(self) -> str:
        if self._kind() == "word":
            return self._take()
        if self._kind() != "string":
            self._fail("the key of an attribute")
        key = self._string()
        if not key:
            self._refuse("the key of an attribute is empty")
        return key

    def _string(self) -> str:
        if self._kind() != "string":
            self._fail("a value in double quotes")
        token = self._tokens[self._next][1][1:-1]
        for match in _ESCAPE.finditer(token):
            if match[1] not in '"\\':
                self._refuse(f"'{show(match[0])}' is no escape; allowed: \\\" and \\\\")
        self._next += 1
        return _ESCAPE.sub(r"\1", token)

    def _kind(self) -> str:
        return self._tokens[self._next][0]

    def _peek(self) -> str:
        kind, token, _ = self._tokens[self._next]
        return token if kind in {"word", "mark"} else ""

    def _take(self) -> str:
        token = self._tokens[self._next][1]
        self._next += 1
        return token

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            self._fail(f"'{token}'")
        self._take()

    def _fail(self, wanted: str) -> NoReturn:
        kind, token, _ = self._tokens[self._next]
        found = "it ends" if kind == "end" else f"there is '{show(token)}'"
        word = token.upper()
        hint = ""
        if word in {"AND", "OR", "NOT"} and token != word:
            hint = f"; operators are upper case: {word}"
        elif kind == "wrong" and token == '"':
            hint = "; the quote is not closed"
        self._refuse(f"{found} where {wanted} is wanted{hint}")

    def _refuse(self, problem: str) -> NoReturn:
        at = self._tokens[self._next][2] + 1
        raise InvalidSpec([Violation(self._field, f"at character {at}: {problem}")])
