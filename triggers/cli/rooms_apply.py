"""What ``jobrunner apply`` does alike in all rooms: reading a document, saying what changes,
writing it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from jobrunner.cli.base import State
from jobrunner.cli.output import yaml_text
from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec, NotFound, Violation
from triggers.cli.desk import Desk, desk_of
from triggers.cli.rooms import Room

T = TypeVar("T")
Document = dict[str, Any]


def read_document(content: Document, spec_of: Callable[[Node, Problems], T]) -> tuple[str, T]:
    """The name, and what ``spec_of`` makes of the spec. Raises InvalidSpec."""
    problems = Problems()
    top = Node(content, "", problems)
    top.skip("apiVersion", "kind")
    metadata, spec = top.node("metadata"), top.node("spec")
    name = metadata.text("name")
    top.end()
    metadata.end()
    found = spec_of(spec, problems)
    spec.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return name, found


@dataclass(frozen=True, slots=True)
class Wish:
    """That ``name`` be as ``spec`` says, which was read at ``where``. ``secret`` is written, too,
    and never read again."""

    where: str
    name: str
    spec: Document
    secret: Mapping[str, str | None]


def fulfil(
    room: Room,
    state: State,
    desk: Desk,
    wish: Wish,
    settings: Callable[[Document], Document],
    *,
    dry_run: bool,
) -> Document | None:
    """What is stored then, ``settings`` of which are compared; ``None`` if nothing was to be
    done."""
    name, spec = wish.name, wish.spec
    secret = {key: value for key, value in wish.secret.items() if value is not None}
    try:
        stored = room.found(state, desk, name)
    except NotFound:
        stored = None
    old = None if stored is None else settings(stored)
    same = spec == old and not secret
    word = "created" if old is None else "unchanged" if same else "configured"
    if dry_run:
        click.echo(f"{room.noun.capitalize()} '{name}' {word} (dry run).")
        if not same:
            sys.stdout.write(_diff(old, wish))
        return None
    written = stored if same else room.store(state, desk, stored, name, {**spec, **secret})
    click.echo(f"{room.noun.capitalize()} '{name}' {word}.")
    return written


def _diff(old: Document | None, wish: Wish) -> str:
    def lines(spec: Document) -> list[str]:
        return yaml_text({"name": wish.name, **spec}).splitlines(keepends=True)

    before = [] if old is None else lines(old)
    came = "/dev/null" if old is None else "stored"
    return "".join(difflib.unified_diff(before, lines(wish.spec), came, wish.where))


# ------------------------------------------------------------ names and where they are


@dataclass(frozen=True, slots=True)
class Places:
    """``name`` is that of the document, which is for people only."""

    where: str
    name: str
    places: dict[str, str]


def read_places(where: str, content: Document, check: Callable[[str, str], None]) -> Places:
    """``check`` raises InvalidSpec for a name and its place. Raises InvalidSpec."""
    problems = Problems()
    top = Node(content, "", problems)
    top.skip("apiVersion", "kind")
    metadata = top.node("metadata")
    name = metadata.text("name") or where
    places = top.text_map("spec")
    top.end()
    metadata.end()
    violations = list(problems.violations)
    for one, place in places.items():
        try:
            check(one, place)
        except InvalidSpec as error:
            violations += [Violation(f"spec[{one}]", said.message) for said in error.violations]
    if violations:
        raise InvalidSpec(violations)
    return Places(where, name, places)


def apply_places(
    room: Room,
    field: str,
    put: Callable[[State, Desk, str, str], object],
    state: State,
    plans: Sequence[Places],
    dry_run: bool,
) -> None:
    """``field`` is what holds the place of one that is stored."""
    with desk_of(state) as desk:
        for name, place in (item for one in plans for item in one.places.items()):
            try:
                old = room.found(state, desk, name)[field]
            except NotFound:
                old = None
            word = "created" if old is None else "unchanged" if place == old else "configured"
            noun = room.noun.capitalize()
            if dry_run:
                click.echo(f"{noun} '{name}' {word} (dry run).")
                continue
            if word != "unchanged":
                put(state, desk, name, place)
            click.echo(f"{noun} '{name}' {word}.")
