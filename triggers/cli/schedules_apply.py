"""Schedules in YAML, for ``jobrunner apply``: a document is the whole schedule."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

import click

from jobrunner.cli.base import State
from jobrunner.cli.output import yaml_text
from jobrunner.core.documents import Node
from jobrunner.core.durations import read_duration
from jobrunner.core.problems import Problems
from jobrunner.core.quantities import parse_duration
from jobrunner.core.records import Scope
from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.core.timestamps import parse_time
from jobrunner.errors import InvalidSpec
from triggers.api.scheduler.reading import http_target, retry_policy
from triggers.cli.schedules import Home, hint_of_server, home_of
from triggers.cli.schedules_views import schedule_document
from triggers.core.records import (
    Ack,
    CatchUp,
    Gap,
    HttpTarget,
    JobTarget,
    Overlap,
    OverlapScope,
    Repeat,
    Schedule,
    Target,
)
from triggers.core.validation import check_schedule
from triggers.core.zones import DEFAULT_ZONE
from triggers.service.schedules import Seen

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")
_NEW = Schedule("", "", "", "", "", JobTarget(""))
_OUTPUT = frozenset(
    {"uid", "project", "region", "state", "failures", "createdAt", "updatedAt", "nextAt",
     "lastAttemptAt", "status"}
)  # fmt: skip
"""What a dry run does not compare."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``settings`` are the fields of a schedule that the document says, defaults included. A job
    target without a project is one of the scope that is applied to."""

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
    settings = _settings(spec, problems)
    spec.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    check_schedule(replace(_NEW, name=name, **settings))
    return Plan(where, name, settings)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    scope = state.scope()
    with home_of(state) as home:
        for one in plans:
            _apply(home, scope, one, dry_run)
    if not dry_run:
        hint_of_server(state)


def _apply(home: Home, scope: Scope, one: Plan, dry_run: bool) -> None:
    settings = _of_scope(one.settings, scope)
    target = settings["target"]
    if isinstance(target, JobTarget) and not dry_run:
        home.jobs.get(Scope(target.project, target.region), target.job)
    known = home.service.store.find(scope, one.name)
    old = None if known is None else known.schedule
    fresh = replace(_NEW, project=scope.project, region=scope.region, name=one.name)
    new = replace(old or fresh, **settings)
    word = "created" if old is None else "unchanged" if new == old else "configured"
    if dry_run:
        click.echo(f"Schedule '{one.name}' {word} (dry run).")
        if word != "unchanged":
            sys.stdout.write(_diff(old, new, one.where))
        return

    def change(now: Schedule) -> Schedule:
        return replace(now, **settings)

    if old is None:
        home.commit(lambda: home.service.create(new))
    elif new != old:
        home.commit(lambda: home.service.update(scope, one.name, change))
    click.echo(f"Schedule '{one.name}' {word}.")


def _of_scope(settings: dict[str, Any], scope: Scope) -> dict[str, Any]:
    target = settings["target"]
    if not isinstance(target, JobTarget):
        return settings
    project, region = target.project or scope.project, target.region or scope.region
    return {**settings, "target": replace(target, project=project, region=region)}


def _diff(old: Schedule | None, new: Schedule, where: str) -> str:
    import difflib

    def text(schedule: Schedule) -> str:
        said = schedule_document(Seen(schedule, None))
        return yaml_text({key: said[key] for key in said if key not in _OUTPUT})

    before = "" if old is None else text(old)
    lines = before.splitlines(keepends=True), text(new).splitlines(keepends=True)
    return "".join(difflib.unified_diff(*lines, "/dev/null" if old is None else "stored", where))


# -------------------------------------------------------------------------------- reading


def _settings(spec: Node, problems: Problems) -> dict[str, Any]:
    def number(key: str, default: int | None) -> int | None:
        found = spec.whole(key)
        return default if found is None else found

    def seconds(key: str) -> float | None:
        return _read(spec, key, lambda text: parse_duration(text), "a duration, as 90s or 10m")

    def instant(key: str) -> float | None:
        return _read(spec, key, parse_time, "an instant, as 2026-01-01T00:00:00Z")

    return {
        "description": spec.text("description"),
        "expression": spec.text("schedule"),
        "time_zone": spec.text("timeZone") or DEFAULT_ZONE,
        "target": _target(spec, problems),
        "retry": retry_policy(spec.node("retryConfig")),
        "gap": _one_of(spec, "gap", Gap),
        "repeat": _one_of(spec, "repeat", Repeat),
        "overlap": _one_of(spec, "overlap", Overlap),
        "overlap_limit": number("overlapLimit", 1),
        "overlap_scope": _one_of(spec, "overlapScope", OverlapScope) or OverlapScope.SCHEDULE,
        "catch_up": _one_of(spec, "missedRuns", CatchUp) or CatchUp.LATEST,
        "catch_up_limit": number("missedRunsLimit", _NEW.catch_up_limit),
        "catch_up_window": seconds("missedRunsWindow"),
        "spread": round(seconds("spread") or 0),
        "jitter": seconds("jitter") or 0.0,
        "starts_at": instant("start"),
        "ends_at": instant("end"),
        "pause_after": number("pauseAfter", None),
    }


def _target(spec: Node, problems: Problems) -> Target:
    given = [key for key in ("httpTarget", "jobTarget") if spec.has(key)]
    if len(given) != 1:
        found = "both are set" if given else "there is none"
        problems.add("spec", f"{found}; allowed: one of httpTarget and jobTarget")
    deadline = read_duration(spec, "attemptDeadline")
    if "jobTarget" in given:
        if deadline is not None:
            problems.add("spec.attemptDeadline", "it is for an httpTarget")
        return _job(spec.node("jobTarget"))
    target: HttpTarget = http_target(spec.node("httpTarget"), problems)
    return target if deadline is None else replace(target, deadline=deadline)


def _job(node: Node) -> JobTarget:
    env = node.text_map("env", numbers=True)
    container = ContainerOverride(
        args=node.texts("args"), env=tuple(EnvVar(name, value) for name, value in env.items())
    )
    timeout = _read(node, "taskTimeout", parse_duration, "a duration, as 90s or 10m")
    overrides = Overrides(
        containers=() if container == ContainerOverride() else (container,),
        task_count=node.whole("tasks"),
        timeout=timeout,
    )
    target = JobTarget(
        node.text("job"),
        node.text("project"),
        node.text("region"),
        overrides,
        _one_of(node, "acknowledge", Ack) or Ack.ON_START,
    )
    node.end()
    return target


def _one_of(node: Node, key: str, kind: type[E]) -> E | None:
    text = node.optional_text(key)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        node.wrong(node.at(key), text, f"one of {', '.join(kind)}")
        return None


def _read(node: Node, key: str, read: Callable[[str], T], form: str) -> T | None:
    """Of text, or of a plain number."""
    value = node.raw(key)
    if value is None:
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError
        return read(str(value))
    except ValueError:
        node.wrong(node.at(key), value, form)
        return None
