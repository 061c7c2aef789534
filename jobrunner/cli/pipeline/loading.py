"""One version of a pipeline's files: read, checked as a whole, applied, and what left removed."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobrunner.cli.documents import Document, apply_all, files_of, planned, read_documents
from jobrunner.cli.pipeline.made import Made, Thing
from jobrunner.cli.table import KINDS, REMOVED_AT
from jobrunner.errors import InvalidSpec, JobrunnerError, NotFound, Violation

if TYPE_CHECKING:
    from jobrunner.cli.base import State

_SAID = re.compile(r"^(\w+) '(.+)' (created|configured|unchanged)\.$")
LULL_SECONDS = 0.15
_MAPS = ("Services", "Buckets")
"""Kinds whose documents map names to something; each name is a thing."""
_KINDS = {"Trigger": "EventTrigger", "Service": "Services", "Bucket": "Buckets"}
"""Where 'apply' calls a thing otherwise than its kind."""


@dataclass(frozen=True, slots=True)
class Change:
    """``word`` is created, configured or removed."""

    kind: str
    name: str
    word: str


@dataclass(frozen=True, slots=True)
class Version:
    """Documents that are sound. ``things`` is what they describe."""

    documents: Sequence[Document]
    things: frozenset[Thing]


def fingerprint(paths: Sequence[str]) -> tuple[object, ...]:
    """Another one after any of the files was written, added or removed."""
    found: list[object] = []
    for path in paths:
        with contextlib.suppress(JobrunnerError, OSError):
            for name in files_of(path):
                stat = os.stat(name)
                found.append((name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)


class Lull:
    """Who saves a file empties it first, or takes it away for a moment: what is found then would
    remove everything. So another version counts once nobody has written for ``LULL_SECONDS``."""

    def __init__(self, seen: tuple[object, ...]) -> None:
        self._taken = self._last = seen
        self._since = 0.0

    def over(self, seen: tuple[object, ...], now: float) -> bool:
        """Whether ``seen``, the fingerprint at ``now``, is to be taken: once for each."""
        if seen != self._last:
            self._last, self._since = seen, now
        if seen == self._taken or now - self._since < LULL_SECONDS:
            return False
        self._taken = seen
        return True


def read_version(paths: Sequence[str]) -> Version:
    """Raises InvalidSpec whose fields are ``FILE:LINE: FIELD``, and UsageError or NotFound for what
    cannot be read."""
    violations: list[Violation] = []
    documents: list[Document] = []
    for path in [name for one in paths for name in files_of(one)]:
        found = read_documents([path], empty=True)
        documents += found
        for document in found:
            try:
                planned([document], KINDS)
            except InvalidSpec as error:
                violations += error.violations
    if violations:
        raise InvalidSpec(violations)
    if not documents:
        return Version((), frozenset())
    planned(documents, KINDS)
    return Version(documents, frozenset(_things(documents)))


def load(state: State, version: Version, made: Made) -> list[Change]:
    """Applies it, and removes what these files had made and do not have any more."""
    said = io.StringIO()
    try:
        if version.documents:
            with contextlib.redirect_stdout(said):
                apply_all(state, version.documents, dry_run=False, others=KINDS)
    finally:
        # What was made before the trouble was made by this file, too.
        changes = _changes(said.getvalue())
        fresh = [(one.kind, one.name) for one in changes if one.word == "created"]
        made.keep(list(dict.fromkeys([*made.things, *fresh])))
    gone = [thing for thing in made.things if thing not in version.things]
    for thing in sorted(gone, key=lambda thing: thing[0] == "Job"):
        if _remove(state, *thing):
            changes.append(Change(*thing, "removed"))
        made.keep([one for one in made.things if one != thing])
    return changes


def _things(documents: Sequence[Document]) -> list[Thing]:
    found: list[Thing] = []
    for document in documents:
        content = document.content
        kind = str(content["kind"])
        if kind in _MAPS:
            found += [(kind, str(name)) for name in content.get("spec") or {}]
        else:
            found.append((kind, str(content["metadata"]["name"])))
    return found


def _changes(said: str) -> list[Change]:
    found = []
    for line in said.splitlines():
        match = _SAID.match(line)
        if match is not None and match[3] != "unchanged":
            found.append(Change(_KINDS.get(match[1], match[1]), match[2], match[3]))
    return found


def _remove(state: State, kind: str, name: str) -> bool:
    """Says whether it was there."""
    scope = state.scope()
    try:
        if kind == "Job":
            with state.opened() as home:
                home.service.executions.delete_job(scope, name)
            return True
        from urllib.parse import quote

        from jobrunner.client.documents import DocumentClient
        from jobrunner.client.finding import find_server
        from jobrunner.errors import RunnerFault

        endpoint = find_server(state.env, state.settings().home)
        if endpoint is None:
            raise RunnerFault("The server of this home has gone.")
        path = f"{REMOVED_AT[kind]}/{quote(name, safe='')}"
        query = {"project": scope.project, "region": scope.region}
        DocumentClient(endpoint).call("DELETE", path, query=query)
    except NotFound:
        return False
    return True
