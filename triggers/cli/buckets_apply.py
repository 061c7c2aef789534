"""Buckets in YAML, for ``jobrunner apply``: names and directories. Names that a document does not
have stay as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from jobrunner.cli.base import State
from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec, NotFound, Violation
from triggers.cli.buckets import ROOM, put
from triggers.cli.desk import desk_of, path_to
from triggers.cli.services import place_of
from triggers.core.buckets import Bucket, check_bucket

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """``name`` is that of the document, which is for people only. ``directories`` are absolute."""

    where: str
    name: str
    directories: dict[str, str]


def plan(where: str, content: Document) -> Plan:
    """A path that is not absolute is one below the working directory. Raises InvalidSpec."""
    problems = Problems()
    top = Node(content, "", problems)
    top.skip("apiVersion", "kind")
    metadata = top.node("metadata")
    name = metadata.text("name") or where
    given = top.text_map("spec")
    top.end()
    metadata.end()
    violations = list(problems.violations)
    directories: dict[str, str] = {}
    for bucket, directory in given.items():
        directories[bucket] = os.path.abspath(directory) if directory else ""
        try:
            check_bucket(Bucket("", "", "", bucket, directories[bucket]))
        except InvalidSpec as error:
            violations += [Violation(f"spec[{bucket}]", one.message) for one in error.violations]
    if violations:
        raise InvalidSpec(violations)
    return Plan(where, name, directories)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    query = place_of(state)
    with desk_of(state) as desk:
        for one in plans:
            for name, directory in one.directories.items():
                try:
                    old = desk.call("GET", path_to(ROOM, name), query=query)["directory"]
                except NotFound:
                    old = None
                same = "unchanged" if directory == old else "configured"
                word = "created" if old is None else same
                if dry_run:
                    click.echo(f"Bucket '{name}' {word} (dry run).")
                    continue
                if word != "unchanged":
                    put(state, desk, name, directory)
                click.echo(f"Bucket '{name}' {word}.")
