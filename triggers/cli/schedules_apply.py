"""Schedules in YAML, for ``jobrunner apply``: a document is the whole schedule."""

from __future__ import annotations

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
from triggers.api.schedules.reading import NEW, in_scope, schedule_of, settings_of
from triggers.api.schedules.writing import settings_document
from triggers.cli.desk import Desk, desk_of
from triggers.cli.schedules import found, hint_of_server, store
from triggers.core.records import Schedule
from triggers.core.validation import check_schedule


@dataclass(frozen=True, slots=True)
class Plan:
    """``settings`` are the fields of a schedule that the document says, defaults included."""

    where: str
    name: str
    settings: dict[str, Any]


def plan(where: str, content: dict[str, Any]) -> Plan:
    """Raises InvalidSpec."""
    problems = Problems()
    top = Node(content, "", problems)
    top.skip("apiVersion", "kind")
    metadata, spec = top.node("metadata"), top.node("spec")
    name = metadata.text("name")
    top.end()
    metadata.end()
    settings = settings_of(spec, problems)
    spec.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    anywhere = in_scope(settings, Scope(DEFAULT_PROJECT, DEFAULT_REGION))
    check_schedule(replace(NEW, name=name, **anywhere))
    return Plan(where, name, settings)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    with desk_of(state) as desk:
        for one in plans:
            _apply(state, desk, one, dry_run)
    if not dry_run:
        hint_of_server(desk.served)


def _apply(state: State, desk: Desk, one: Plan, dry_run: bool) -> None:
    scope = state.scope()
    try:
        stored = found(state, desk, one.name)
    except NotFound:
        stored = None
    old = None if stored is None else schedule_of(stored)
    fresh = replace(NEW, project=scope.project, region=scope.region, name=one.name)
    new = replace(old or fresh, **in_scope(one.settings, scope))
    word = "created" if old is None else "unchanged" if new == old else "configured"
    if dry_run:
        click.echo(f"Schedule '{one.name}' {word} (dry run).")
        if word != "unchanged":
            sys.stdout.write(_diff(old, new, one.where))
        return
    if word != "unchanged":
        store(state, desk, stored, new)
    click.echo(f"Schedule '{one.name}' {word}.")


def _diff(old: Schedule | None, new: Schedule, where: str) -> str:
    import difflib

    def text(schedule: Schedule) -> str:
        return yaml_text({"name": schedule.name, **settings_document(schedule)})

    before = "" if old is None else text(old)
    lines = before.splitlines(keepends=True), text(new).splitlines(keepends=True)
    return "".join(difflib.unified_diff(*lines, "/dev/null" if old is None else "stored", where))
