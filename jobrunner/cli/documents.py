"""YAML documents in, jobs out: all are read and checked before the first is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
import yaml

from jobrunner.errors import InvalidSpec, NotFound, UsageError, Violation

if TYPE_CHECKING:
    from jobrunner.cli.base import State
    from jobrunner.core.records import Job, Scope
    from jobrunner.core.spec import JobSpec

ENDINGS = (".yaml", ".yml")
KIND, API_VERSION = "Job", "run.googleapis.com/v1"


@dataclass(frozen=True, slots=True)
class Document:
    """One document and where it was found, for messages."""

    where: str
    content: dict[str, Any]
    file: str = ""
    node: yaml.Node | None = None

    def place(self, field: str) -> str:
        """FILE:LINE of a field such as ``spec.containers[0].image``, or of the nearest that is
        there; empty for what was not read from YAML."""
        if self.node is None:
            return ""
        from jobrunner.cli.pipeline.lines import line_of

        return f"{self.file}:{line_of(self.node, field)}"


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that is to be: checked, not yet written."""

    where: str
    name: str
    spec: JobSpec


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping; the last one would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key != "<<":
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key}' stands twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_documents(paths: Iterable[str], *, empty: bool = False) -> list[Document]:
    """All documents of files, directories (their ``*.yaml`` and ``*.yml``, by name) and ``-``. With
    ``empty`` there may be none."""
    documents = []
    for path in paths:
        for name in files_of(path):
            documents += _parse(name, _read(name))
    if not documents and not empty:
        raise UsageError("There is no document to apply.", hint="A document has 'kind: Job'.")
    return documents


def files_of(path: str) -> list[str]:
    """Raises UsageError for a directory without any."""
    if path == "-" or not os.path.isdir(path):
        return [path]
    found = sorted(name for name in os.listdir(path) if name.endswith(ENDINGS))
    if not found:
        raise UsageError(f"--file: the directory '{path}' holds no *.yaml or *.yml")
    return [os.path.join(path, name) for name in found]


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFound(f"There is no file '{path}'.") from None
    except OSError as error:
        raise UsageError(f"--file: '{path}' cannot be read: {error.strerror}") from None


def _parse(path: str, text: bytes) -> list[Document]:
    name = "standard input" if path == "-" else path
    try:
        loaded = list(_loaded(text))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: not YAML: {_yaml_problem(error)}") from None
    except RecursionError:
        raise UsageError(f"{name}: not YAML that can be read: nested too deeply") from None
    found = [
        (number, node, content)
        for number, (node, content) in enumerate(loaded, 1)
        if content is not None
    ]
    documents = []
    for number, node, content in found:
        where = name if len(found) == 1 else f"{name}, document {number}"
        if not isinstance(content, dict):
            raise UsageError(f"{where}: a document is a mapping with apiVersion and kind")
        documents.append(Document(where, content, name, node))
    return documents


def _loaded(text: bytes) -> Iterator[tuple[yaml.Node, Any]]:
    """Each document as nodes, which know their lines, and as values."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            yield node, loader.construct_document(node)
    finally:
        loader.dispose()


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


Others = Mapping[tuple[str, str], str]
"""Kinds beside jobs, see :data:`jobrunner.cli.table.KINDS`."""


def planned(
    documents: Sequence[Document], others: Others = MappingProxyType({})
) -> tuple[list[Planned], dict[str, list[Any]]]:
    """Every document as a checked job, or as what the module of its kind makes of it, by module.
    Raises InvalidSpec with all that is wrong in all of them."""
    from jobrunner.api.v1 import job_from_v1

    plans: list[Planned] = []
    made: dict[str, list[Any]] = {}
    violations: list[Violation] = []
    for document in documents:
        kind, version = document.content.get("kind"), document.content.get("apiVersion")
        module = others.get((str(kind), str(version)))
        try:
            if module is not None:
                plan = import_module(module).plan(document.where, document.content)
                made.setdefault(module, []).append(plan)
                continue
            check_kind(document.content, others)
            read = job_from_v1(_here(document.content))
        except InvalidSpec as error:
            violations += [
                Violation(": ".join(filter(None, (document.place(v.field), v.field))), v.message)
                for v in error.violations
            ]
        else:
            plans.append(Planned(document.where, read.name, read.spec))
    for group in (plans, *made.values()):
        names = [plan.name for plan in group]
        for plan in group:
            if names.count(plan.name) > 1:
                violations.append(
                    Violation(
                        f"{plan.where}: metadata.name", f"'{plan.name}' stands more than once"
                    )
                )
    if violations:
        raise InvalidSpec(violations)
    return plans, made


def _here(content: dict[str, Any]) -> dict[str, Any]:
    """With the working directories of processes that are not absolute below that of this command: a
    server has another one."""

    def at(value: Any, *keys: str) -> Any:
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    spec = ("spec", "template", "spec", "template", "spec", "containers")
    if not isinstance(at(content, *spec), list):
        return content
    placed = deepcopy(content)
    for container in at(placed, *spec):
        folder = at(container, "workingDir")
        if isinstance(folder, str) and _is_beside(folder) and not container.get("image"):
            container["workingDir"] = os.path.abspath(folder)
    return placed


def _is_beside(folder: str) -> bool:
    """Whether it is written as a path that begins where one is."""
    return folder in (".", "..") or folder.startswith(("./", "../"))


def check_kind(content: dict[str, Any], others: Others = MappingProxyType({})) -> None:
    """Refuses another kind by its name, before anything else is said about its fields."""
    version, kind = content.get("apiVersion"), content.get("kind")
    if isinstance(kind, str) and kind and (kind, version) != (KIND, API_VERSION):
        raise InvalidSpec(
            [
                Violation(
                    "kind",
                    f"{kind} ({version or 'without apiVersion'}) cannot be applied; "
                    f"allowed: {KIND} ({API_VERSION})"
                    + "".join(f", {name} ({its})" for name, its in others),
                )
            ]
        )


def apply_all(
    state: State,
    documents: Sequence[Document],
    *,
    dry_run: bool,
    others: Others = MappingProxyType({}),
) -> None:
    """Creates or replaces every job, then what else there is, which may speak of the jobs; says
    what happened to each on standard output."""
    plans, made = planned(documents, others)
    if plans:
        _apply_jobs(state, plans, dry_run=dry_run)
    # In the order of the table: what is spoken of comes before who speaks of it.
    for module in dict.fromkeys(others.values()):
        if module in made:
            import_module(module).apply(state, made[module], dry_run)


def _apply_jobs(state: State, plans: Sequence[Planned], *, dry_run: bool) -> None:
    from jobrunner.core.notices import notices

    scope = state.scope()
    with state.opened() as app:
        for plan in plans:
            for notice in notices(plan.spec):
                click.echo(f"Warning: job '{plan.name}': {notice}", err=True)
        for each in plans:
            current = app.service.jobs.find(scope, each.name)
            plan = with_client_of(each, current)
            if dry_run:
                word, diff = change(current, plan, scope)
                click.echo(f"Job '{plan.name}' {word} (dry run).")
                sys.stdout.write(diff)
            else:
                _, word = app.service.jobs.apply(scope, plan.name, plan.spec)
                click.echo(f"Job '{plan.name}' {word}.")


def with_client_of(plan: Planned, current: Job | None) -> Planned:
    """``plan`` with the client that the stored job names, if the document names none: an exported
    document leaves it out, and that is no change."""
    if current is None or plan.spec.client or plan.spec.client_version:
        return plan
    spec = replace(
        plan.spec, client=current.spec.client, client_version=current.spec.client_version
    )
    return replace(plan, spec=spec)


def change(current: Job | None, plan: Planned, scope: Scope) -> tuple[str, str]:
    """What applying would do: the word, and a unified diff of the two documents."""
    import difflib

    from jobrunner.api.v1 import export_v1
    from jobrunner.cli.output import yaml_text
    from jobrunner.core.defaults import DEFAULT_ACCOUNT, default_service_account, fill_defaults
    from jobrunner.core.records import Job

    account = "" if current is None else current.spec.template.template.service_account or ""
    if not account.endswith(DEFAULT_ACCOUNT):
        account = default_service_account()
    spec = fill_defaults(plan.spec, service_account=account)
    if current is not None and current.spec == spec:
        return "unchanged", ""
    after_job = Job(uid="", project=scope.project, region=scope.region, name=plan.name, spec=spec)
    before = "" if current is None else yaml_text(export_v1(current))
    after = yaml_text(export_v1(after_job))
    diff = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        "stored" if current is not None else "/dev/null",
        plan.where,
    )
    return "created" if current is None else "configured", "".join(diff)
