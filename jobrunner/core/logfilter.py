"""The filter language of Cloud Logging, as much of it as commands send and people type.

Comparisons ``FIELD OP VALUE`` with ``=  !=  >  >=  <  <=`` and ``:`` (has; ``FIELD:*`` means that
it is there), ``log_id("…")``, and bare text, which may occur anywhere in an entry; put together
with ``AND``, ``OR``, ``NOT`` (or ``-``) and parentheses. Side by side means AND. OR binds closer
than AND, NOT closer than OR. A value may be a list: ``FIELD = (a OR b)``. ``--`` begins a comment.
Text compares without regard to case. A comparison with a field that an entry lacks does not hold.

An entry is its JSON, as :func:`jobrunner.core.logentry.entry_as_json` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jobrunner.core.logentry import SEVERITIES
from jobrunner.core.selectors import is_text
from jobrunner.core.timestamps import format_time, parse_time

MAX_FILTER = 20_000
MAX_DEPTH = 50

FIELDS = (
    "logName",
    "severity",
    "timestamp",
    "receiveTimestamp",
    "insertId",
    "textPayload",
    "jsonPayload",
    "protoPayload",
    "labels",
    "resource",
    "httpRequest",
    "operation",
    "sourceLocation",
    "trace",
    "spanId",
    "traceSampled",
)
TIMES = ("timestamp", "receiveTimestamp")
OPERATORS = ("=", "!=", ">", ">=", "<", "<=", ":")
UNDERSTOOD = (
    f"understood are comparisons of {', '.join(FIELDS)} with {' '.join(OPERATORS)},"
    ' log_id("…"), text in quotes, AND, OR, NOT and parentheses'
)

Entry = Mapping[str, Any]


class Filter(Protocol):
    def holds(self, entry: Entry) -> bool: ...


@dataclass(frozen=True, slots=True)
class Every:
    """Every part holds."""

    parts: tuple[Filter, ...] = ()

    def holds(self, entry: Entry) -> bool:
        return all(part.holds(entry) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds."""

    parts: tuple[Filter, ...]

    def holds(self, entry: Entry) -> bool:
        return any(part.holds(entry) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter

    def holds(self, entry: Entry) -> bool:
        return not self.part.holds(entry)


@dataclass(frozen=True, slots=True)
class Anywhere:
    """Bare text: it occurs in some value of the entry. ``text`` is case-folded."""

    text: str

    def holds(self, entry: Entry) -> bool:
        return _occurs(self.text, entry)


@dataclass(frozen=True, slots=True)
class Compare:
    """``value`` is as it was written; a time is in the form of an entry's."""

    path: tuple[str, ...]
    operator: str
    value: str

    def holds(self, entry: Entry) -> bool:
        found = list(_values(entry, self.path))
        if self.operator == ":" and self.value == "*":
            return bool(found)
        test = _test_of(self.path)
        return any(test(one, self.operator, self.value) for one in found)


# ------------------------------------------------------------- what a filter says beforehand


def only(filter: Filter, *path: str) -> frozenset[str] | None:
    """The values, case-folded, that a field of a passing entry can have; ``None`` for any."""
    match filter:
        case Compare(path=where, operator="=") if where == path:
            return frozenset([filter.value.casefold()])
        case Every(parts=parts):
            known = [one for part in parts if (one := only(part, *path)) is not None]
            return frozenset.intersection(*known) if known else None
        case Some(parts=parts):
            each = [only(part, *path) for part in parts]
            sets = [one for one in each if one is not None]
            return frozenset().union(*sets) if len(sets) == len(each) else None
    return None


def since(filter: Filter) -> float | None:
    """No entry passes whose timestamp is before this one (Unix seconds)."""
    return _bound(filter, (">", ">=", "="), max, min)


def until(filter: Filter) -> float | None:
    """No entry passes whose timestamp is after this one."""
    return _bound(filter, ("<", "<=", "="), min, max)


_Choice = Callable[[Sequence[float]], float]


def _bound(
    filter: Filter, operators: tuple[str, ...], closer: _Choice, wider: _Choice
) -> float | None:
    match filter:
        case Compare(path=("timestamp",), operator=operator, value=value):
            return parse_time(value) if operator in operators else None
        case Every(parts=parts):
            each = [_bound(part, operators, closer, wider) for part in parts]
            known = [one for one in each if one is not None]
            return closer(known) if known else None
        case Some(parts=parts):
            each = [_bound(part, operators, closer, wider) for part in parts]
            known = [one for one in each if one is not None]
            return wider(known) if len(known) == len(each) else None
    return None


# ------------------------------------------------------------------------------- comparing


def _values(entry: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """What stands at ``path``; every item of a list. The rest of a path may be one key with dots
    in it, as those of labels are."""
    if isinstance(entry, (list, tuple)):
        for item in entry:
            yield from _values(item, path)
    elif not path:
        yield entry
    elif isinstance(entry, Mapping):
        if path[0] in entry:
            yield from _values(entry[path[0]], path[1:])
        elif len(path) > 1 and ".".join(path) in entry:
            yield from _values(entry[".".join(path)], ())


_Test = Callable[[Any, str, str], bool]


def _test_of(path: tuple[str, ...]) -> _Test:
    if path == ("severity",):
        return _severity_test
    return _ordered if path in (("timestamp",), ("receiveTimestamp",)) else _test


def _severity_test(found: Any, operator: str, value: str) -> bool:
    return _decide(SEVERITIES.index(found), operator, SEVERITIES.index(value))


def _ordered(found: Any, operator: str, value: str) -> bool:
    return _decide(found, operator, value)


def _test(found: Any, operator: str, value: str) -> bool:
    if operator == ":":
        return _occurs(value.casefold(), found)
    if isinstance(found, bool):
        return _decide(str(found).lower(), operator, value.casefold())
    if isinstance(found, (int, float)):
        number = _number(value)
        return number is not None and _decide(found, operator, number)
    if isinstance(found, str):
        return _decide(found.casefold(), operator, value.casefold())
    return False


def _decide(left: Any, operator: str, right: Any) -> bool:
    match operator:
        case "=" | ":":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case ">":
            return bool(left > right)
        case ">=":
            return bool(left >= right)
        case "<":
            return bool(left < right)
    return bool(left <= right)


def _occurs(text: str, found: Any) -> bool:
    if isinstance(found, str):
        return text in found.casefold()
    if isinstance(found, Mapping):
        return any(text == key.casefold() or _occurs(text, one) for key, one in found.items())
    if isinstance(found, (list, tuple)):
        return any(_occurs(text, one) for one in found)
    if isinstance(found, bool):
        return text == str(found).lower()
    return found is not None and _number(text) == found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# --------------------------------------------------------------------------------- reading

_BLANK = re.compile(r"(\s|--[^\n]*)*")
_SEGMENT = re.compile(r"[A-Za-z0-9_/%@*+-]+")
_OPERATOR = re.compile(r"=~|!~|!=|>=|<=|[=<>:]")
_WORD = re.compile(r"[^\s()\"'=<>!:]+")
_PLAIN = re.compile(r"[^\s()\"']+")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_filter(text: str) -> Filter:
    """Raises ValueError with a sentence that says what is wrong and what is understood."""
    if len(text) > MAX_FILTER:
        raise ValueError(f"it is longer than {MAX_FILTER} characters")
    if not is_text(text):
        raise ValueError("it holds a NUL character, or half of one")
    reader = _Reader(text)
    found = reader.all_of(0)
    if not reader.at_end():
        raise reader.wrong("AND, OR or the end")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        self._at = _end(_BLANK, self._text, self._at)
        return self._at == len(self._text)

    def wrong(self, wanted: str) -> ValueError:
        rest = self._text[self._at :].strip()
        shown = f"'{rest[:40]}'" if rest else "the end"
        return ValueError(f"{wanted} was expected at {shown}; {UNDERSTOOD}")

    def all_of(self, depth: int) -> Filter:
        parts: list[Filter] = []
        while not self.at_end() and self._text[self._at] != ")":
            if parts:
                self._takes_word("AND")
            parts.append(self._any_of(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _any_of(self, depth: int) -> Filter:
        parts = [self._term(depth)]
        while self._takes_word("OR"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _term(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        if self.at_end():
            raise self.wrong("a comparison")
        if self._takes_word("NOT"):
            return Not(self._term(depth + 1))
        if self._takes("("):
            inner = self.all_of(depth + 1)
            if not self._takes(")"):
                raise self.wrong("')'")
            return inner
        if self._takes("-"):
            return Not(self._term(depth + 1))
        return self._comparison()

    def _comparison(self) -> Filter:
        start = self._at
        path = self._path()
        operator = self._operator()
        if operator is None:
            if path == ("log_id",) and self._takes("("):
                return self._log_id()
            self._at = start
            text = self._quoted()
            if text is None:
                text = self._match(_WORD)
            if not text or text in ("AND", "OR", "NOT") or self._peeks("("):
                self._at = start
                raise self.wrong("a comparison")
            return Anywhere(text.casefold())
        if path is None or path[0] not in FIELDS:
            self._at = start
            raise self.wrong("a field")
        return self._compared(path, operator)

    def _compared(self, path: tuple[str, ...], operator: str) -> Filter:
        if not self._takes("("):
            return _comparing(path, operator, self._value())
        values = [_comparing(path, operator, self._value())]
        word = "OR" if self._takes_word("OR") else "AND" if self._takes_word("AND") else ""
        while word:
            values.append(_comparing(path, operator, self._value()))
            if not self._takes_word(word):
                break
        if not self._takes(")"):
            raise self.wrong("')'")
        if len(values) == 1:
            return values[0]
        return Some(tuple(values)) if word == "OR" else Every(tuple(values))

    def _log_id(self) -> Filter:
        name = self._value()
        if not self._takes(")"):
            raise self.wrong("')'")
        return Compare(("logName",), ":", f"/logs/{name.replace('/', '%2F')}")

    def _path(self) -> tuple[str, ...] | None:
        """Names with dots between them; a name may be in quotes, but not the first."""
        parts: list[str] = []
        while True:
            part = self._match(_SEGMENT) or (self._quoted() if parts else None)
            if part is None or part == "":
                return tuple(parts) or None
            parts.append(part)
            if self._text[self._at : self._at + 1] != ".":
                return tuple(parts)
            self._at += 1

    def _operator(self) -> str | None:
        self.at_end()
        start = self._at
        operator = self._match(_OPERATOR)
        if operator in ("=~", "!~"):
            self._at = start
            raise self.wrong("an operator other than a regular expression's")
        return operator

    def _value(self) -> str:
        if not self.at_end():
            text = self._quoted()
            if text is None:
                text = self._match(_PLAIN)
            if text is not None:
                return text
        raise self.wrong("a value")

    def _quoted(self) -> str | None:
        match = _QUOTED.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        inner = match[1] if match[1] is not None else match[2]
        return re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), inner, flags=re.DOTALL)

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _peeks(self, sign: str) -> bool:
        return not self.at_end() and self._text.startswith(sign, self._at)

    def _takes(self, sign: str) -> bool:
        if not self._peeks(sign):
            return False
        self._at += len(sign)
        return True

    def _takes_word(self, word: str) -> bool:
        start = self._at
        if not self.at_end() and self._match(_PLAIN) == word:
            return True
        self._at = start
        return False


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _comparing(path: tuple[str, ...], operator: str, value: str) -> Compare:
    if operator == ":" and value == "*":
        return Compare(path, operator, value)
    if path == ("severity",):
        return Compare(path, operator, _severity(value))
    if path[0] in TIMES and len(path) == 1:
        if _DATE.fullmatch(value):
            value += "T00:00:00Z"
        return Compare(path, operator, format_time(parse_time(value)))
    return Compare(path, operator, value)


def _severity(value: str) -> str:
    """A name, or the number that stands for it: hundreds."""
    word = value.upper()
    if word.isdecimal() and len(word) <= 4:
        return SEVERITIES[min(int(word) // 100, len(SEVERITIES) - 1)]
    if word not in SEVERITIES:
        raise ValueError(f"'{value[:40]}' is not a severity; allowed: {', '.join(SEVERITIES)}")
    return word
