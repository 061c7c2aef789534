"""Event triggers in YAML, for ``jobrunner apply``: a document is the whole trigger."""

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
from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec, NotFound
from triggers.api.events.trigger_reading import NEW, settings_of
from triggers.api.events.writing import settings_document
from triggers.cli.desk import Desk, desk_of
from triggers.cli.event_triggers import found, settings, store, warn
from triggers.core.event_triggers import EventTrigger
from triggers.core.event_validation import check_event_trigger
from triggers.service.channel_names import channel_name

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    where: str
    name: str
    trigger: EventTrigger


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
    trigger = replace(NEW, name=name, **fields)
    # The place of a channel that goes by its id is known when it is written.
    channel = trigger.channel
    if channel and "/" not in channel:
        channel = channel_name(Scope("p", "l"), channel)
    check_event_trigger(replace(trigger, channel=channel))
    return Plan(where, name, trigger)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    with desk_of(state) as desk:
        for one in plans:
            _apply(state, desk, one, dry_run)


def _apply(state: State, desk: Desk, one: Plan, dry_run: bool) -> None:
    trigger = replace(one.trigger, channel=channel_name(state.scope(), one.trigger.channel))
    spec = settings_document(trigger)
    try:
        stored = found(state, desk, one.name)
    except NotFound:
        stored = None
    old = None if stored is None else settings(stored)
    word = "created" if old is None else "unchanged" if spec == old else "configured"
    if dry_run:
        click.echo(f"Trigger '{one.name}' {word} (dry run).")
        if word != "unchanged":
            sys.stdout.write(_diff(old, one, spec))
        return
    written = stored
    if word != "unchanged":
        written = store(state, desk, stored, one.name, spec)
    click.echo(f"Trigger '{one.name}' {word}.")
    if written is not None:
        warn(written, desk.served)


def _diff(old: Document | None, one: Plan, spec: Document) -> str:
    def lines(said: Document) -> list[str]:
        return yaml_text({"name": one.name, **said}).splitlines(keepends=True)

    before = [] if old is None else lines(old)
    came = "/dev/null" if old is None else "stored"
    return "".join(difflib.unified_diff(before, lines(spec), came, one.where))
