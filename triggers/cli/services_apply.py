"""Services in YAML, for ``jobrunner apply``: names and URLs. Names that a document does not have
stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from jobrunner.cli.base import State
from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec, NotFound, Violation
from triggers.cli.desk import desk_of, path_to
from triggers.cli.services import ROOM, place_of, put
from triggers.core.event_triggers import ServiceAddress
from triggers.core.event_validation import check_service

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """``name`` is that of the document, which is for people only."""

    where: str
    name: str
    urls: dict[str, str]


def plan(where: str, content: Document) -> Plan:
    """Raises InvalidSpec."""
    problems = Problems()
    top = Node(content, "", problems)
    top.skip("apiVersion", "kind")
    metadata = top.node("metadata")
    name = metadata.text("name") or where
    urls = top.text_map("spec")
    top.end()
    metadata.end()
    violations = list(problems.violations)
    for service, url in urls.items():
        try:
            check_service(ServiceAddress("", "", service, url))
        except InvalidSpec as error:
            violations += [Violation(f"spec[{service}]", one.message) for one in error.violations]
    if violations:
        raise InvalidSpec(violations)
    return Plan(where, name, urls)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    query = place_of(state)
    with desk_of(state) as desk:
        for one in plans:
            for name, url in one.urls.items():
                try:
                    old = desk.call("GET", path_to(ROOM, name), query=query)["url"]
                except NotFound:
                    old = None
                word = "created" if old is None else "unchanged" if url == old else "configured"
                if dry_run:
                    click.echo(f"Service '{name}' {word} (dry run).")
                    continue
                if word != "unchanged":
                    put(state, desk, name, url)
                click.echo(f"Service '{name}' {word}.")
