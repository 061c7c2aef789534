"""From verb and path to a method: one step of a dictionary for each segment.

Paths are those of Google's HTTP annotations: literals, variables of one segment, and perhaps a
``:verb`` at the end of the last one, which may be empty then. A literal wins over a variable in
its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jobrunner.api.errors import MalformedCall, MethodNotAllowed, UnknownPath
from jobrunner.calls import Method
from jobrunner.errors import RunnerFault

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")

MOST_REMEMBERED = 512
LONGEST_REMEMBERED = 200
"""Bytes of a path. Senders of messages ask for the same few again and again."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method and the names of the variables in its path, in their order."""

    method: Method
    names: tuple[str, ...]


@dataclass(slots=True)
class _Node:
    literals: dict[bytes, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    ends: dict[bytes, dict[str, Route]] = field(default_factory=dict)
    """By the custom verb (empty without one), then by the HTTP verb."""


class Router:
    """Built once from all tables. Raises RunnerFault where two methods claim the same."""

    def __init__(self, methods: Iterable[Method]) -> None:
        self._root = _Node()
        self._found: dict[tuple[str, bytes], tuple[Route, Sequence[str]]] = {}
        self.methods: tuple[Method, ...] = tuple(methods)
        for method in self.methods:
            self._add(method)

    def _add(self, method: Method) -> None:
        segments, custom = _parsed(method)
        node = self._root
        names = []
        for segment in segments:
            variable = _VARIABLE.fullmatch(segment)
            if variable:
                names.append(variable[1])
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment.encode(), _Node())
        if len(set(names)) < len(names):
            raise RunnerFault(f"{method.name}: a variable occurs twice in {method.path}")
        end = node.ends.setdefault(custom.encode(), {})
        other = end.get(method.verb)
        if other is not None:
            raise RunnerFault(
                f"two methods answer {method.verb} {method.path}:"
                f" {other.method.name} and {method.name}"
            )
        end[method.verb] = Route(method, tuple(names))

    def find(self, verb: str, path: bytes) -> tuple[Route, Sequence[str]]:
        """The route and the values of its variables. ``path`` is as it was sent, still encoded,
        without the query. HEAD is answered by GET. Raises UnknownPath, MethodNotAllowed or
        MalformedCall."""
        known = self._found.get((verb, path))
        if known is not None:
            return known
        found = self._find(verb, path)
        if len(path) <= LONGEST_REMEMBERED:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()
            self._found[verb, path] = found
        return found

    def _find(self, verb: str, path: bytes) -> tuple[Route, Sequence[str]]:
        segments = path.split(b"/")
        if segments[0] or len(segments) < 2:
            raise UnknownPath("the path does not begin with /")
        del segments[0]
        segments[-1], colon, custom = segments[-1].partition(b":")
        raw: list[bytes] = []
        end = None if colon and not custom else _walk(self._root, segments, 0, custom, raw)
        if end is None:
            raise UnknownPath(f"there is nothing at {_shown(path)}")
        values = [_decoded(segment) for segment in raw]
        route = end.get(verb) or (end.get("GET") if verb == "HEAD" else None)
        if route is None:
            allow = ", ".join(_allowed(end))
            raise MethodNotAllowed(f"{_shown(path)} takes {allow}, not {verb}", allow)
        return route, values


def _parsed(method: Method) -> tuple[list[str], str]:
    path, colon, custom = method.path.partition(":")
    segments = path.split("/")
    # gcloud's way to leave out an id: …/tasks/:buffer
    named = segments[1:-1] if custom and not segments[-1] else segments[1:]
    plain = all(_VARIABLE.fullmatch(s) or (s and not set(s) & set("{}%?#")) for s in named)
    if (
        segments[0]
        or len(segments) < 2
        or not plain
        or "/" in custom
        or bool(colon) != bool(custom)
    ):
        raise RunnerFault(f"{method.name}: {method.path!r} is not a path of an API")
    return segments[1:], custom


def _walk(
    node: _Node, segments: list[bytes], place: int, custom: bytes, raw: list[bytes]
) -> Mapping[str, Route] | None:
    """The end that the segments from ``place`` on lead to. Appends what variables stand for."""
    while place < len(segments):
        segment = segments[place]
        place += 1
        literal = node.literals.get(segment)
        variable = node.variable
        if literal is None:
            if variable is None or not segment:
                return None
            raw.append(segment)
            node = variable
            continue
        if variable is not None:
            # Two readings: the literal's first.
            mark = len(raw)
            end = _walk(literal, segments, place, custom, raw)
            if end is not None:
                return end
            del raw[mark:]
            if not segment:
                return None
            raw.append(segment)
            node = variable
            continue
        node = literal
    return node.ends.get(custom)


def _allowed(end: Mapping[str, Route]) -> Iterator[str]:
    for verb in end:
        yield verb
        if verb == "GET" and "HEAD" not in end:
            yield "HEAD"


def _decoded(segment: bytes) -> str:
    """One segment as text. An encoded slash stays within it."""
    if b"%" in segment:
        if _BAD_ESCAPE.search(segment):
            raise MalformedCall(f"the path holds a broken escape: {_shown(segment)}")
        segment = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), segment)
    try:
        text = segment.decode()
    except UnicodeDecodeError:
        raise MalformedCall(f"the path is not valid UTF-8: {_shown(segment)}") from None
    if text in (".", ".."):
        raise UnknownPath(f"a path may not hold '{text}'")
    if not text.isprintable():
        raise MalformedCall(f"the path holds a character that cannot be printed: {_shown(segment)}")
    return text


def _shown(path: bytes) -> str:
    """For messages: as it was sent, short, ASCII."""
    text = ascii(path[:200].decode("latin-1"))[1:-1]
    return f"{text}…" if len(path) > 200 else text
