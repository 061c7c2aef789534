"""Queues in YAML, for ``jobrunner apply``: a document is the whole queue, but for its items."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from jobrunner.cli.base import State
from jobrunner.cli.output import yaml_text
from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec, NotFound
from triggers.api.queues.reading import NEW, settings_of
from triggers.api.queues.writing import settings_document
from triggers.cli.desk import Desk, desk_of
from triggers.cli.queues import found, hint_of_server, settings, store
from triggers.core.queue_validation import check_queue

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """``spec`` is what the document says, defaults included."""

    where: str
    name: str
    spec: Document


def plan(where: str, content: Document) -> Plan:
    """Raises InvalidSpec."""
    problems = Problems()
    top = Node(content, "", problems)
    top.skip("apiVersion", "kind")
    metadata, spec = top.node("metadata"), top.node("spec")
    name = metadata.text("name")
    top.end()
    metadata.end()
    fields = settings_of(spec, problems)
    spec.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    queue = replace(NEW, name=name, **fields)
    check_queue(queue)
    return Plan(where, name, settings_document(queue))


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    with desk_of(state) as desk:
        for one in plans:
            _apply(state, desk, one, dry_run)
    if not dry_run:
        hint_of_server(desk.served)


def _apply(state: State, desk: Desk, one: Plan, dry_run: bool) -> None:
    try:
        stored = found(state, desk, one.name)
    except NotFound:
        stored = None
    old = None if stored is None else settings(stored)
    word = "created" if old is None else "unchanged" if one.spec == old else "configured"
    if dry_run:
        click.echo(f"Queue '{one.name}' {word} (dry run).")
        if word != "unchanged":
            sys.stdout.write(_diff(old, one))
        return
    if word != "unchanged":
        store(state, desk, stored, one.name, one.spec)
    click.echo(f"Queue '{one.name}' {word}.")


def _diff(old: Document | None, one: Plan) -> str:
    def lines(spec: Document) -> list[str]:
        return yaml_text({"name": one.name, **spec}).splitlines(keepends=True)

    before = [] if old is None else lines(old)
    came = "/dev/null" if old is None else "stored"
    return "".join(difflib.unified_diff(before, lines(one.spec), came, one.where))
