"""Reads objects and lists of JSON one level deep, and keeps what is inside as it was written."""

from __future__ import annotations

import json
import re
from typing import NamedTuple, NoReturn

from triggers.errors import InvalidEvent

_SPACE = re.compile(r"[ \t\n\r]*")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class Member(NamedTuple):
    """``text`` is how ``value`` was written."""

    value: object
    text: str


def read_json(text: str) -> object:
    """Raises ValueError for what is not JSON, or nests deeper than can be read."""
    try:
        value, end = _DECODER.raw_decode(text, _skip(text, 0))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _skip(text, end) != len(text):
        raise ValueError("there is more after its end")
    return value


def is_json(data: bytes) -> bool:
    try:
        read_json(data.decode())
    except ValueError:
        return False
    return True


def read_object(text: str) -> dict[str, Member]:
    """The members of an object that is all of ``text``. Raises InvalidEvent."""
    start = _skip(text, 0)
    if text[start : start + 1] != "{":
        raise InvalidEvent("an event in JSON is an object, and this is none")
    found, end = _members(text, start)
    if _skip(text, end) != len(text):
        raise InvalidEvent("there is more after the end of the JSON object")
    return found


def read_objects(text: str) -> list[tuple[dict[str, Member], int]]:
    """The objects of a list that is all of ``text``, each with its length. Raises InvalidEvent."""
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise InvalidEvent("a batch in JSON is a list of events, and this is none")
    found: list[tuple[dict[str, Member], int]] = []
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]" or found:
        if text[at : at + 1] != "{":
            raise InvalidEvent("an event in JSON is an object, and this is none", at=len(found))
        members, end = _members(text, at)
        found.append((members, end - at))
        at = _skip(text, end)
        mark = text[at : at + 1]
        if mark == "]":
            break
        if mark != ",":
            raise InvalidEvent(f"the body is not JSON: ',' or ']' is missing at character {at}")
        at = _skip(text, at + 1)
    if _skip(text, at + 1) != len(text):
        raise InvalidEvent("there is more after the end of the JSON list")
    return found


def _members(text: str, at: int) -> tuple[dict[str, Member], int]:
    """Of the object whose brace is at ``at``; and where it ends."""
    found: dict[str, Member] = {}
    at = _skip(text, at + 1)
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise InvalidEvent(f"the body is not JSON: a name is missing at character {at}")
        name, at = _decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise InvalidEvent(f"the body is not JSON: ':' is missing at character {at}")
        start = _skip(text, at + 1)
        value, end = _decode(text, start)
        if str(name) in found:
            raise InvalidEvent("it is given twice", field=str(name))
        found[str(name)] = Member(value, text[start:end])
        at = _skip(text, end)
        mark = text[at : at + 1]
        if mark == "}":
            return found, at + 1
        if mark != ",":
            raise InvalidEvent(f"the body is not JSON: ',' or '}}' is missing at character {at}")
        at = _skip(text, at + 1)


def _decode(text: str, at: int) -> tuple[object, int]:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise InvalidEvent("the JSON of the body is nested too deeply") from None
    except ValueError:
        raise InvalidEvent(f"the body is not JSON: no value at character {at}") from None
    return value, end


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
