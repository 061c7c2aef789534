"""CloudEvents SQL 1.0 (CESQL): text into a tree. :mod:`triggers.core.expression` evaluates it.

::

    literals      'text'  "text"  42  true  false
    attributes    type, subject, source, …, by their names in lower case
    operators     by how tightly they bind: NOT x, -x; LIKE, IN, EXISTS; * / %; + -;
                  = != <> < <= > >=; AND; OR, XOR

Keywords and functions are of any letter case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from jobrunner.core.nearest import nearest
from jobrunner.errors import InvalidSpec, Violation
from triggers.core.cron import show

MAX_EXPRESSION = 4096
"""Characters."""
MAX_DEPTH = 120
"""Of operations inside operations, and of one after the other."""

Value = str | int | bool

MANY = 10**6
FUNCTIONS: dict[str, tuple[int, int]] = {
    "LENGTH": (1, 1), "CONCAT": (0, MANY), "CONCAT_WS": (1, MANY), "LOWER": (1, 1),
    "UPPER": (1, 1), "TRIM": (1, 1), "LEFT": (2, 2), "RIGHT": (2, 2), "SUBSTRING": (2, 3),
    "ABS": (1, 1), "INT": (1, 1), "BOOL": (1, 1), "STRING": (1, 1), "IS_INT": (1, 1),
    "IS_BOOL": (1, 1),
}  # fmt: skip
"""Names, and how many arguments they take."""

_KEYWORDS = {"AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "FALSE"}
_BINARY = {
    **dict.fromkeys(("OR", "XOR"), 1),
    "AND": 2,
    **dict.fromkeys(("=", "!=", "<>", "<", "<=", ">", ">="), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<word>[A-Za-z0-9_]+)"
    r"|(?P<mark><>|!=|<=|>=|[=<>+\-*/%(),])|(?P<end>$)|(?P<wrong>.))",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Literal:
    value: Value
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Exists:
    name: str
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Unary:
    """``operator`` is NOT or ``-``."""

    operator: str
    operand: Expression
    depth: int


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expression
    right: Expression
    depth: int


@dataclass(frozen=True, slots=True)
class Like:
    operand: Expression
    pattern: str
    negated: bool
    depth: int


@dataclass(frozen=True, slots=True)
class In:
    operand: Expression
    members: tuple[Expression, ...]
    negated: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Expression, ...]
    depth: int


Expression = Literal | Attribute | Exists | Unary | Binary | Like | In | Call


@lru_cache(maxsize=1024)
def parse_expression(text: str, field: str = "expression") -> Expression:
    """Raises InvalidSpec that names the place, from 1."""
    if len(text) > MAX_EXPRESSION:
        problem = f"{len(text)} characters are too many; allowed: at most {MAX_EXPRESSION}"
        raise InvalidSpec([Violation(field, problem)])
    return _Parser(text, field).whole()


class _Parser:
    def __init__(self, text: str, field: str) -> None:
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
        self._inside = 0

    def whole(self) -> Expression:
        node = self._operation(1)
        if self._kind() != "end":
            self._fail("an operator or the end")
        return node

    def _operation(self, least: int) -> Expression:
        """Operators that bind at least that tightly, from left to right."""
        self._inside += 1
        if self._inside > MAX_DEPTH:
            self._refuse(f"there are more than {MAX_DEPTH} operations inside or behind one another")
        left = self._tested()
        while (operator := self._peek()) in _BINARY and _BINARY[operator] >= least:
            self._next += 1
            # AND, OR and XOR group to the right, which only shows in what is not evaluated.
            tighter = _BINARY[operator] + (_BINARY[operator] > 2)
            right = self._operation(tighter)
            left = Binary(operator, left, right, self._above(left, right))
        self._inside -= 1
        return left

    def _tested(self) -> Expression:
        """With LIKE and IN behind it."""
        node = self._unary()
        while True:
            start = self._next
            negated = self._peek() == "NOT"
            self._next += negated
            match self._peek():
                case "LIKE":
                    self._next += 1
                    if self._kind() != "string":
                        self._fail("a pattern in quotes")
                    node = Like(node, self._string(), negated, self._above(node))
                case "IN":
                    self._next += 1
                    members = self._list()
                    node = In(node, members, negated, self._above(node, *members))
                case _:
                    self._next = start
                    return node

    def _unary(self) -> Expression:
        operators = []
        while self._peek() in {"NOT", "-"}:
            operators.append(self._peek())
            self._next += 1
        node = self._primary(negative=bool(operators) and operators[-1] == "-")
        if isinstance(node, Literal) and node.value == 2**31:
            # The one number whose minus belongs to it.
            node = Literal(-(2**31))
            operators.pop()
        for operator in reversed(operators):
            node = Unary(operator, node, self._above(node))
        return node

    def _primary(self, *, negative: bool) -> Expression:
        kind, token, _ = self._tokens[self._next]
        word = self._peek()
        if kind == "string":
            return Literal(self._string())
        if word == "(":
            self._next += 1
            node = self._operation(1)
            self._expect(")")
            return node
        if word in {"TRUE", "FALSE"}:
            self._next += 1
            return Literal(word == "TRUE")
        if word == "+" and self._tokens[self._next + 1][1].isdecimal():
            self._next += 1
            return self._primary(negative=False)
        if word == "EXISTS":
            self._next += 1
            return Exists(self._attribute())
        if kind == "word" and token.isascii() and token.isdigit():
            number = int(token[:11])
            if number > 2**31 - (not negative):
                self._refuse(f"'{show(token)}' is not a whole number of 32 bits")
            self._next += 1
            return Literal(number)
        if kind != "word" or word in _KEYWORDS:
            self._fail("a value, an attribute or a function")
        if self._tokens[self._next + 1][1] == "(":
            return self._call(word)
        return Attribute(self._attribute())

    def _call(self, name: str) -> Expression:
        if name not in FUNCTIONS:
            guess = nearest(name, FUNCTIONS)
            hint = f"; did you mean {guess}?" if guess else ""
            self._refuse(f"'{show(name)}' is not a function{hint}")
        place = self._next
        self._next += 1
        arguments = self._list(empty=True)
        fewest, most = FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            self._next = place
            count = (
                f"{fewest} or more"
                if most == MANY
                else " to ".join(dict.fromkeys((str(fewest), str(most))))
            )
            self._refuse(f"{name} takes {count} arguments, not {len(arguments)}")
        return Call(name, arguments, self._above(*arguments))

    def _list(self, *, empty: bool = False) -> tuple[Expression, ...]:
        self._expect("(")
        found: list[Expression] = []
        while not (empty and not found and self._peek() == ")"):
            found.append(self._operation(1))
            if self._peek() != ",":
                break
            self._next += 1
        self._expect(")")
        return tuple(found)

    def _attribute(self) -> str:
        kind, token, _ = self._tokens[self._next]
        if kind != "word" or self._peek() in _KEYWORDS:
            self._fail("the name of an attribute")
        if token == "data":
            self._refuse("expressions are about attributes; the data of an event is not one")
        if not _ATTRIBUTE.fullmatch(token):
            form = "names have lower-case letters and digits only"
            self._refuse(f"'{show(token)}' is not a name of an attribute; {form}")
        self._next += 1
        return token

    def _string(self) -> str:
        token = self._tokens[self._next][1]
        self._next += 1
        return token[1:-1].replace(f"\\{token[0]}", token[0])

    def _above(self, *inner: Expression) -> int:
        depth = 1 + max((node.depth for node in inner), default=0)
        if depth > MAX_DEPTH:
            self._refuse(f"there are more than {MAX_DEPTH} operations inside or behind one another")
        return depth

    def _kind(self) -> str:
        return self._tokens[self._next][0]

    def _peek(self) -> str:
        """A keyword, a name in upper case or a mark; empty for the rest."""
        kind, token, _ = self._tokens[self._next]
        return token.upper() if kind in {"word", "mark"} else ""

    def _expect(self, mark: str) -> None:
        if self._peek() != mark:
            self._fail(f"'{mark}'")
        self._next += 1

    def _fail(self, wanted: str) -> NoReturn:
        kind, token, _ = self._tokens[self._next]
        found = "it ends" if kind == "end" else f"there is '{show(token)}'"
        hint = "; the quote is not closed" if kind == "wrong" and token in {"'", '"'} else ""
        self._refuse(f"{found} where {wanted} is wanted{hint}")

    def _refuse(self, problem: str) -> NoReturn:
        at = self._tokens[self._next][2] + 1
        raise InvalidSpec([Violation(self._field, f"at character {at}: {problem}")])
