"""Texts with places for what an event says: ``--object={{ data.name }}``.

::

    {{ event.type }}          an attribute of the event, extensions too
    {{ data }}                all of its data
    {{ data.items[0].name }}  a member of JSON data; ["odd name"] for names of other characters
    {{ path.user }}           what a path pattern of the trigger's filters kept as {user}
    {{ "{{" }}                a text as it is

Nothing is computed. A text member is put in as it is, anything else as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

from jobrunner.core.spec import Overrides
from jobrunner.errors import InvalidSpec, Violation
from triggers.core.cloudevents.attributes import text_of
from triggers.core.cloudevents.jsontext import read_json
from triggers.core.cron import show
from triggers.core.events import CloudEvent, DataKind

ROOTS = ("event", "data", "path")

_PLACE = re.compile(r"\{\{(?P<inner>(?:\"(?:[^\"\\]|\\.)*\"|[^\"}]|\}(?!\}))*)\}\}", re.DOTALL)
_ROOT = re.compile(r"[a-z]+")
_STEP = re.compile(
    r"\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|\[(?P<index>[0-9]{1,9})\]"
    r"|\[(?P<text>\"(?:[^\"\\]|\\.)*\")\]"
)


@dataclass(frozen=True, slots=True)
class Place:
    """``written`` is how it stands in the template."""

    root: str
    steps: tuple[str | int, ...]
    written: str


@dataclass(frozen=True, slots=True)
class Template:
    parts: tuple[str | Place, ...]


class _Nothing:
    """What an event does not have."""


@dataclass(slots=True)
class Context:
    """What one event brings to templates. Data is read when it is first asked for."""

    event: CloudEvent
    captures: Mapping[str, str] = field(default_factory=dict)
    _data: object = _Nothing

    def data(self) -> object:
        if self._data is _Nothing:
            self._data = self._read()
        return self._data

    def _read(self) -> object:
        match self.event.kind:
            case DataKind.JSON:
                return read_json(self.event.data.decode())
            case DataKind.NONE:
                return ""
            case DataKind.TEXT:
                return self.event.data.decode()
            case DataKind.BINARY:
                return self.event.data


@lru_cache(maxsize=1024)
def parse_template(text: str, where: str = "args") -> Template:
    """Raises InvalidSpec."""
    parts: list[str | Place] = []
    at = 0
    for match in _PLACE.finditer(text):
        parts.append(_plain(text[at : match.start()], where))
        parts.append(_place(match["inner"].strip(), where))
        at = match.end()
    parts.append(_plain(text[at:], where))
    return Template(tuple(part for part in parts if part != ""))


def render(template: Template, context: Context, where: str = "args") -> str:
    """Raises InvalidSpec for what the event does not have."""
    return "".join(
        part if isinstance(part, str) else _text(part, _value(part, context, where), where)
        for part in template.parts
    )


def check_templates(overrides: Overrides) -> None:
    """Raises InvalidSpec for the first text that is no template."""
    for container in overrides.containers:
        for place, text in enumerate(container.args):
            parse_template(text, f"args[{place}]")
        for variable in container.env:
            parse_template(variable.value or "", f"env[{variable.name}]")


def _plain(text: str, where: str) -> str:
    if "{{" in text:
        at = text.index("{{")
        problem = (
            f"'{show(text[at:])}' has no end; write {{{{ event.type }}}}, or {{{{ \"{{{{\" }}}}"
        )
        raise InvalidSpec([Violation(where, problem)])
    return text


def _place(inner: str, where: str) -> str | Place:
    def refuse(problem: str) -> NoReturn:
        raise InvalidSpec([Violation(where, f"'{{{{ {show(inner)} }}}}': {problem}")])

    if inner.startswith('"'):
        try:
            text = read_json(inner)
        except ValueError:
            refuse("this is not a text in double quotes")
        return str(text)
    root = _ROOT.match(inner)
    if root is None or root[0] not in ROOTS:
        refuse(f"allowed: a path that begins with {', '.join(ROOTS)}")
    steps: list[str | int] = []
    at = root.end()
    while at < len(inner):
        step = _STEP.match(inner, at)
        if step is None:
            refuse(f"'{show(inner[at:])}' is no step; allowed: .name, [0] or [\"name\"]")
        if step["text"]:
            try:
                steps.append(str(json.loads(step["text"])))
            except ValueError:
                refuse(f"{show(step['text'])} is not a text in double quotes")
        else:
            steps.append(step["name"] or int(step["index"]))
        at = step.end()
    if root[0] != "data" and (len(steps) != 1 or not isinstance(steps[0], str)):
        refuse(f"{root[0]} has names and nothing below, such as {{{{ {root[0]}.id }}}}")
    return Place(root[0], tuple(steps), inner)


def _value(place: Place, context: Context, where: str) -> object:
    def lack(problem: str) -> NoReturn:
        raise InvalidSpec([Violation(where, f"{{{{ {place.written} }}}}: {problem}")])

    if place.root == "event":
        name = str(place.steps[0])
        value = context.event.attribute(name.lower())
        if value is None:
            lack(f"the event has no attribute '{show(name)}'")
        return text_of(value)
    if place.root == "path":
        name = str(place.steps[0])
        if name not in context.captures:
            lack(f"no path pattern of the trigger has kept '{show(name)}'")
        return context.captures[name]
    found = context.data()
    if place.steps and context.event.kind is not DataKind.JSON:
        lack(f"the data of the event is {context.event.kind}, not JSON")
    for step in place.steps:
        if isinstance(step, int):
            if not isinstance(found, list) or step >= len(found):
                lack(f"there is no place {step} in what stands there")
            found = found[step]
        else:
            if not isinstance(found, dict) or step not in found:
                lack(f"what stands there has no '{show(step)}'")
            found = found[step]
    return found


def _text(place: Place, value: object, where: str) -> str:
    if isinstance(value, bytes):
        problem = f"{{{{ {place.written} }}}}: the data of the event is binary, not text"
        raise InvalidSpec([Violation(where, problem)])
    if not isinstance(value, str):
        found = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return found if _is_text(found) else json.dumps(value, separators=(",", ":"))
    if "\0" in value or not _is_text(value):
        problem = f"{{{{ {place.written} }}}}: it has a character that no argument can have"
        raise InvalidSpec([Violation(where, problem)])
    return value


def _is_text(text: str) -> bool:
    """Without halves of surrogate pairs."""
    return not any("\ud800" <= c <= "\udfff" for c in text)
