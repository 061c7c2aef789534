"""Reads a document key by key: right types, no key forgotten, every mistake found.

A :class:`Node` is one object of the document. Each reader marks its key as known; :meth:`Node.end`
reports the rest as unknown. ``null`` counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobrunner.core.nearest import nearest
from jobrunner.core.problems import Problems
from jobrunner.errors import Violation

Document = dict[str, object]

MAX_DIGITS = 19


def filled(**members: object) -> Document:
    """The members that are neither ``None``, empty, false nor zero."""
    return {key: value for key, value in members.items() if value not in (None, "", 0, [], {}, ())}


def not_yet_said(new: list[Violation], said: list[Violation]) -> list[Violation]:
    """What follows from an unreadable field would only confuse."""
    fields = [violation.field for violation in said]
    return [
        violation
        for violation in new
        if not any(
            violation.field == field
            or field.startswith(f"{violation.field}.")
            or violation.field.startswith((f"{field}.", f"{field}["))
            for field in fields
        )
    ]


_NOTHING: Mapping[object, object] = {}


class Node:
    """``present`` is false for an object that is not in the document; it reads as empty."""

    __slots__ = ("_known", "_values", "path", "present", "problems")

    def __init__(self, value: object, path: str, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self.present = value is not None
        self._known: dict[str, None] = {}
        self._values = _NOTHING
        if value is None:
            return
        # Nearly always a plain one, and the question is asked for every object.
        if type(value) is dict or isinstance(value, Mapping):
            self._values = value
        else:
            self.wrong(path, value, "an object")

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, path: str, value: object, wanted: str) -> None:
        self.problems.add(path or "document", f"{shown(value)} is not {wanted}")

    def raw(self, key: str) -> object:
        self._known[key] = None
        return self._values.get(key)

    def has(self, key: str) -> bool:
        return self.raw(key) is not None

    def text(self, key: str, default: str = "") -> str:
        if key not in self._values:
            self._known[key] = None
            return default
        value = self.optional_text(key)
        return default if value is None else value

    def optional_text(self, key: str, *, private: bool = False) -> str | None:
        """A ``private`` value is not repeated in the message."""
        value = self.raw(key)
        if value is None or isinstance(value, str):
            return value
        if private:
            self.problems.add(self.at(key), "it is not text; write it in quotes")
        else:
            self.wrong(self.at(key), value, f"text{quoting(value)}")
        return None

    def whole(self, key: str) -> int | None:
        """A whole number, or text of one: either form of an int64."""
        value = self.raw(key)
        if value is None:
            return None
        number = whole_number(value)
        if number is None:
            self.wrong(self.at(key), value, "a whole number")
        return number

    def flag(self, key: str) -> bool:
        value = self.raw(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.wrong(self.at(key), value, "true or false")
        return False

    def node(self, key: str) -> Node:
        return Node(self.raw(key), self.at(key), self.problems)

    def nodes(self, key: str) -> list[Node]:
        """One node for each entry, so that places in the list stay what they are."""
        values = self._list(key)
        if not values:
            return []
        path = self.at(key)
        found = []
        for place, value in enumerate(values):
            if value is None:
                self.wrong(f"{path}[{place}]", value, "an object")
            found.append(Node(value, f"{path}[{place}]", self.problems))
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._list(key)
        if not values:
            return ()
        path = self.at(key)
        found = []
        for place, value in enumerate(values):
            if not isinstance(value, str):
                self.wrong(f"{path}[{place}]", value, f"text{quoting(value)}")
            found.append(value if isinstance(value, str) else "")
        return tuple(found)

    def text_map(self, key: str, *, numbers: bool = False) -> dict[str, str]:
        """An object of texts. With ``numbers`` a plain number is taken as its text."""
        if key not in self._values:
            self._known[key] = None
            return {}
        node = self.node(key)
        found = {}
        for name, value in node._values.items():
            path = f"{node.path}[{name}]"
            if not isinstance(name, str):
                self.wrong(path, name, f"a key; keys are text{quoting(name)}")
            elif isinstance(value, str):
                found[name] = value
            elif numbers and isinstance(value, (int, float)) and not isinstance(value, bool):
                found[name] = str(value)
            else:
                self.wrong(path, value, f"text{quoting(value)}")
        return found

    def skip(self, *keys: str) -> None:
        """Keys that the server writes and does not read."""
        for key in keys:
            self._known[key] = None

    def refuse(self, *keys: str) -> None:
        """Keys that are refused by name, unless they are empty."""
        for key in keys:
            if self.raw(key) not in (None, "", False, [], {}, 0):
                self.problems.refuse(self.at(key))

    def end(self) -> None:
        """Reports every key that nobody asked for."""
        for key in self._values:
            if key in self._known:
                continue
            guess = nearest(key, self._known) if isinstance(key, str) else None
            self.problems.add(
                self.at(str(key)),
                f"Unknown name \"{key}\" at '{self.path}': Cannot find field."
                + (f" Did you mean '{guess}'?" if guess else ""),
            )

    def _list(self, key: str) -> Sequence[object]:
        value = self.raw(key)
        if value is None:
            return ()
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            return value
        self.wrong(self.at(key), value, "a list")
        return ()


def whole_number(value: object) -> int | None:
    if isinstance(value, str):
        digits = value.removeprefix("-")
        fits = digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS
        return int(value) if fits else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    return None


def shown(value: object) -> str:
    """A value in a message: short, and never what is inside an object or a list."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, str):
        return f"'{value[:60]}…'" if len(value) > 60 else f"'{value}'"
    if isinstance(value, Sequence):
        return "a list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a very long number"
    return str(value)[:60]


def quoting(value: object) -> str:
    """Advice for a plain number or truth value where text belongs."""
    if isinstance(value, (bool, int, float)):
        return f'; write it in quotes: "{shown(value)}"'
    return ""
