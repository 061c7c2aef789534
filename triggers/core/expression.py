"""Evaluates CloudEvents SQL over an event. Every operation has a result, whatever it is given; what
went wrong on the way is said beside it, and then the event does not pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from triggers.core.cesql import (
    Attribute,
    Binary,
    Call,
    Exists,
    Expression,
    In,
    Like,
    Literal,
    Unary,
    Value,
    parse_expression,
)
from triggers.core.cloudevents.attributes import text_of
from triggers.core.cron import show
from triggers.core.events import CloudEvent

_LEAST, _MOST = -(2**31), 2**31 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_SPACE = " \t\n\v\f\r\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
_SPACE += "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``passes`` only for ``true`` without ``errors``."""

    value: Value
    errors: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        return self.value is True and not self.errors

    @property
    def reason(self) -> str:
        if self.errors:
            return f"the expression fails: {'; '.join(self.errors)}"
        if isinstance(self.value, bool):
            return f"the expression is {text_of(self.value)}"
        return f"the expression is '{show(text_of(self.value))}', not true or false"


def evaluate(text: str, event: CloudEvent) -> Evaluation:
    """Raises InvalidSpec for what is no expression."""
    tree = parse_expression(text)
    known: dict[str, Value] = {}
    for name, value in event.attributes():
        known[name] = text_of(value) if isinstance(value, bytes) else value
    run = _Run(known)
    value = run.value(tree)
    return Evaluation(value, tuple(dict.fromkeys(run.errors)))


class _Run:
    def __init__(self, attributes: Mapping[str, Value]) -> None:
        self._attributes = attributes
        self.errors: list[str] = []

    def value(self, node: Expression) -> Value:
        match node:
            case Literal(value):
                return value
            case Attribute(name):
                if name in self._attributes:
                    return self._attributes[name]
                return self._error(f"the event has no attribute '{name}'", False)
            case Exists(name):
                return name in self._attributes
            case Unary(operator, operand):
                if operator == "NOT":
                    return not self._flag(self.value(operand))
                return self._bounded(-self._whole(self.value(operand)))
            case Like(operand, pattern, negated):
                return like(self._text(self.value(operand)), pattern) != negated
            case In(operand, members, negated):
                left = self.value(operand)
                found = [self._equal(left, self._as(left, self.value(one))) for one in members]
                return any(found) != negated
            case Call(function, arguments):
                return self._call(function, [self.value(one) for one in arguments])
            case Binary():
                return self._binary(node)

    def _binary(self, node: Binary) -> Value:
        if node.operator in {"AND", "OR"}:
            left = self._flag(self.value(node.left))
            if left is (node.operator == "OR"):
                return left
            return self._flag(self.value(node.right))
        one, other = self.value(node.left), self.value(node.right)
        match node.operator:
            case "XOR":
                return self._flag(one) != self._flag(other)
            case "=" | "!=" | "<>":
                before = len(self.errors)
                one = self._as(other, one)
                if len(self.errors) > before:
                    return False
                return self._equal(one, other) == (node.operator == "=")
            case "<" | "<=" | ">" | ">=":
                return self._ordered(node.operator, self._whole(one), self._whole(other))
            case _:
                return self._arithmetic(node.operator, self._whole(one), self._whole(other))

    @staticmethod
    def _equal(one: Value, other: Value) -> bool:
        return type(one) is type(other) and one == other

    @staticmethod
    def _ordered(operator: str, one: int, other: int) -> bool:
        if operator.startswith("<"):
            return one < other or (operator == "<=" and one == other)
        return one > other or (operator == ">=" and one == other)

    def _arithmetic(self, operator: str, one: int, other: int) -> int:
        match operator:
            case "+":
                return self._bounded(one + other)
            case "-":
                return self._bounded(one - other)
            case "*":
                return self._bounded(one * other)
        if other == 0:
            return self._error_number(f"{one} {operator} 0 has no result")
        quotient = abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)
        return self._bounded(quotient if operator == "/" else one - quotient * other)

    def _call(self, function: str, given: list[Value]) -> Value:
        match function:
            case "INT":
                return self._whole(given[0])
            case "BOOL":
                return self._flag(given[0])
            case "STRING":
                return self._text(given[0])
            case "IS_INT":
                return _whole(given[0]) is not None
            case "IS_BOOL":
                return _flag(given[0]) is not None
            case "ABS":
                number = self._whole(given[0])
                if number == _LEAST:
                    self._error_number(f"the absolute value of {number} is out of bounds")
                    return _MOST
                return abs(number)
            case "CONCAT":
                return "".join(self._text(value) for value in given)
            case "CONCAT_WS":
                return self._text(given[0]).join(self._text(value) for value in given[1:])
            case "LEFT" | "RIGHT":
                text, count = self._text(given[0]), self._whole(given[1])
                if count < 0:
                    self._error_number(f"{function} of {count} characters")
                    return text
                return text[:count] if function == "LEFT" else text[max(0, len(text) - count) :]
            case "SUBSTRING":
                return self._substring(given)
        text = self._text(given[0])
        match function:
            case "LENGTH":
                return len(text)
            case "LOWER":
                return text.lower()
            case "UPPER":
                return text.upper()
            case _:
                return text.strip(_SPACE)

    def _substring(self, given: list[Value]) -> str:
        text, place = self._text(given[0]), self._whole(given[1])
        size = self._whole(given[2]) if len(given) > 2 else len(text)
        if size < 0 or not -len(text) <= place <= len(text):
            self._error_number(f"SUBSTRING has no character {place} or no length {size}")
            return ""
        if place == 0:
            return ""
        start = place - 1 if place > 0 else len(text) + place
        return text[start : start + size]

    # Casts. One that cannot be gives the zero of its type, and an error.

    def _as(self, like_this: Value, value: Value) -> Value:
        if isinstance(like_this, bool):
            return self._flag(value)
        return self._whole(value) if isinstance(like_this, int) else self._text(value)

    def _flag(self, value: Value) -> bool:
        found = _flag(value)
        if found is None:
            self._error(f"'{show(text_of(value))}' is not true or false", False)
        return bool(found)

    def _whole(self, value: Value) -> int:
        found = _whole(value)
        if found is None:
            self._error(f"'{show(text_of(value))}' is not a whole number of 32 bits", 0)
        return found or 0

    @staticmethod
    def _text(value: Value) -> str:
        return text_of(value)

    def _bounded(self, number: int) -> int:
        if _LEAST <= number <= _MOST:
            return number
        return self._error_number("a result is not a whole number of 32 bits")

    def _error(self, problem: str, value: Value) -> Value:
        self.errors.append(problem)
        return value

    def _error_number(self, problem: str) -> int:
        self.errors.append(problem)
        return 0


def _flag(value: Value) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return bool(value)


def _whole(value: Value) -> int | None:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        return None
    return int(value) if _LEAST <= int(value) <= _MOST else None


def like(text: str, pattern: str) -> bool:
    """``%`` is any run of characters, ``_`` one; ``\\`` takes the meaning of either away. Takes
    time in proportion to the product of both lengths at most."""
    wanted: list[str | None] = []
    runs: set[int] = set()
    at = 0
    while at < len(pattern):
        c = pattern[at]
        if c == "\\" and pattern[at + 1 : at + 2] in {"%", "_", "\\"}:
            at += 1
            wanted.append(pattern[at])
        elif c == "%":
            runs.add(len(wanted))
        else:
            wanted.append(None if c == "_" else c)
        at += 1
    place = seen = 0
    back: tuple[int, int] | None = None
    while True:
        if place in runs and (back is None or back[0] != place):
            back = place, seen
        if place == len(wanted) and seen == len(text):
            return True
        if place < len(wanted) and seen < len(text) and wanted[place] in {None, text[seen]}:
            place, seen = place + 1, seen + 1
        elif back is not None and back[1] < len(text):
            back = back[0], back[1] + 1
            place, seen = back
        else:
            return False
