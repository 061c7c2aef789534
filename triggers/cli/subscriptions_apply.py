"""Subscriptions in YAML, for ``jobrunner apply``: a document is the whole subscription, but for a
push token that it does not name."""

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
from jobrunner.core.records import DEFAULT_PROJECT, DEFAULT_REGION, Scope
from jobrunner.errors import InvalidSpec, NotFound
from triggers.api.subscriptions.reading import (
    NEW,
    Settings,
    in_scope,
    push_token_of,
    settings_of,
)
from triggers.api.subscriptions.writing import settings_document
from triggers.cli.desk import Desk, desk_of
from triggers.cli.subscriptions import found, hint_of_server, settings, store
from triggers.core.event_validation import check_subscription

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the document says, defaults included; short names are those of the project that it is
    applied to."""

    where: str
    name: str
    settings: Settings
    token: str | None


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
    token = push_token_of(spec, problems)
    spec.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    complete = in_scope(fields, Scope(DEFAULT_PROJECT, DEFAULT_REGION))
    check_subscription(replace(NEW, name=name, **complete))
    return Plan(where, name, fields, token)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    with desk_of(state) as desk:
        for one in plans:
            _apply(state, desk, one, dry_run)
    if not dry_run:
        hint_of_server(desk.served)


def _apply(state: State, desk: Desk, one: Plan, dry_run: bool) -> None:
    spec = settings_document(replace(NEW, name=one.name, **in_scope(one.settings, state.scope())))
    try:
        stored = found(state, desk, one.name)
    except NotFound:
        stored = None
    old = None if stored is None else settings(stored)
    same = spec == old and one.token is None
    word = "created" if old is None else "unchanged" if same else "configured"
    if dry_run:
        click.echo(f"Subscription '{one.name}' {word} (dry run).")
        if word != "unchanged":
            sys.stdout.write(_diff(old, spec, one))
        return
    if word != "unchanged":
        body = spec if one.token is None else {**spec, "pushToken": one.token}
        store(state, desk, stored, one.name, body)
    click.echo(f"Subscription '{one.name}' {word}.")


def _diff(old: Document | None, spec: Document, one: Plan) -> str:
    def lines(said: Document) -> list[str]:
        return yaml_text({"name": one.name, **said}).splitlines(keepends=True)

    before = [] if old is None else lines(old)
    came = "/dev/null" if old is None else "stored"
    return "".join(difflib.unified_diff(before, lines(spec), came, one.where))
