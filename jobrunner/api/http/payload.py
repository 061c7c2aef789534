"""JSON of requests and answers.

Requests are read by the standard library's decoder, which can be told to refuse what has two
readings: a key that occurs twice, ``NaN``, half of a surrogate pair. Answers are written by
msgspec.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from jobrunner.api.errors import MalformedCall

DEEPEST = 100
"""Levels of objects and lists."""

LONGEST_NUMBER = 400

_UNSAFE_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


class _Refused(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"the key {key[:60]!a} occurs twice in one object")
            seen.add(key)
    return made


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Refused(f"the number {text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise _Refused(f"the number {text[:40]}… is too large")
    return int(text)


def _constant(text: str) -> Any:
    raise _Refused(f"{text} is not a number of JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_float=_number,
    parse_int=_whole,
    parse_constant=_constant,
)


def decode(body: bytes) -> dict[str, Any]:
    """A body's object. Raises MalformedCall naming the place."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"it is not valid UTF-8 at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise _malformed(f"{error.msg.lower()} at {where}") from None
    except _Refused as error:
        raise _malformed(str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise MalformedCall("Invalid JSON payload received. The body is not an object ({…}).")
    if text.count("{") + text.count("[") > DEEPEST:
        _check_depth(value)
    if _UNSAFE_ESCAPE.search(text):
        _check_text(value)
    return value


def encode(value: Any, *, pretty: bool = False) -> bytes:
    encoded = msgspec.json.encode(value)
    return msgspec.json.format(encoded, indent=2) + b"\n" if pretty else encoded


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return
    if any(isinstance(value, dict | list) for value in level):
        raise _too_deep()


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> MalformedCall:
    return _malformed(f"it is nested more than {DEEPEST} levels deep")


def _check_text(value: Any) -> None:
    """No text of JSON may hold what no database and no UTF-8 can."""
    try:
        plain = json.dumps(value, ensure_ascii=False)
        plain.encode()
    except UnicodeEncodeError:
        raise _malformed("a text holds half of a surrogate pair") from None
    if _holds_nul(value):
        raise _malformed("a text holds the character \\u0000")


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _holds_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def _malformed(what: str) -> MalformedCall:
    return MalformedCall(f"Invalid JSON payload received. {what[:1].upper()}{what[1:]}.")
