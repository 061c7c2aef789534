"""Documents of schedules as settings and as schedules. Pure. Everything that is wrong is found and
named by its path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from jobrunner.core.documents import Node
from jobrunner.core.durations import read_duration
from jobrunner.core.problems import Problems
from jobrunner.core.quantities import parse_duration
from jobrunner.core.records import Scope
from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.core.timestamps import parse_time
from jobrunner.errors import InvalidSpec
from triggers.api.scheduler.reading import http_target, pubsub_target, retry_policy
from triggers.core.records import (
    Ack,
    CatchUp,
    Gap,
    HttpTarget,
    JobTarget,
    Overlap,
    OverlapScope,
    PubsubTarget,
    Repeat,
    Schedule,
    ScheduleState,
    Target,
)
from triggers.core.zones import DEFAULT_ZONE

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")
Settings = dict[str, Any]

NEW = Schedule("", "", "", "", "", JobTarget(""))
OUTPUT = (
    "uid", "state", "effectiveOverlap", "failures", "createdAt", "updatedAt", "intervalsFrom",
    "armedFrom", "nextAt", "lastAttemptAt", "status",
)  # fmt: skip
"""What the server writes and nobody sets."""
TARGETS = ("httpTarget", "jobTarget", "pubsubTarget")


def settings_of(spec: Node, problems: Problems) -> Settings:
    """The fields of a schedule that a document says, defaults included. A job without a project is
    one of nobody's yet, and a topic may be a short name: :func:`in_scope`."""

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
        "gap": one_of(spec, "gap", Gap),
        "repeat": one_of(spec, "repeat", Repeat),
        "overlap": one_of(spec, "overlap", Overlap),
        "overlap_limit": number("overlapLimit", 1),
        "overlap_scope": one_of(spec, "overlapScope", OverlapScope) or OverlapScope.SCHEDULE,
        "catch_up": one_of(spec, "missedRuns", CatchUp) or CatchUp.LATEST,
        "catch_up_limit": number("missedRunsLimit", NEW.catch_up_limit),
        "catch_up_window": seconds("missedRunsWindow"),
        "spread": round(seconds("spread") or 0),
        "jitter": seconds("jitter") or 0.0,
        "starts_at": instant("start"),
        "ends_at": instant("end"),
        "pause_after": number("pauseAfter", None),
    }


def in_scope(settings: Settings, scope: Scope) -> Settings:
    """``settings`` whose target is complete: a job and a topic of ``scope`` where none is named."""
    match settings["target"]:
        case JobTarget() as job:
            place = Scope(job.project or scope.project, job.region or scope.region)
            return {**settings, "target": replace(job, project=place.project, region=place.region)}
        case PubsubTarget(topic=topic) as message if topic and "/" not in topic:
            topic = f"projects/{scope.project}/topics/{topic}"
            return {**settings, "target": replace(message, topic=topic)}
    return settings


def schedule_of(document: dict[str, Any]) -> Schedule:
    """A document of the API as the schedule that it shows. What a newer server says beside it is
    not looked at. Raises InvalidSpec."""
    problems = Problems()
    node = Node(document, "", problems)
    state = one_of(node, "state", ScheduleState) or ScheduleState.ENABLED
    settings = settings_of(node, problems)

    def instant(key: str) -> float:
        return _read(node, key, parse_time, "an instant") or 0.0

    schedule = replace(
        NEW,
        uid=node.text("uid"),
        project=node.text("project"),
        region=node.text("region"),
        name=node.text("name"),
        state=state,
        failures=node.whole("failures") or 0,
        anchor=instant("intervalsFrom"),
        armed_from=instant("armedFrom"),
        created_at=instant("createdAt"),
        updated_at=instant("updatedAt"),
        resource_version=node.whole("resourceVersion") or 0,
        **settings,
    )
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return schedule


# -------------------------------------------------------------------------------- parts


def _target(spec: Node, problems: Problems) -> Target:
    given = [key for key in TARGETS if spec.has(key)]
    if len(given) != 1:
        found = f"{' and '.join(given)} are set" if given else "there is none"
        where = spec.path or "target"
        problems.add(where, f"{found}; allowed: one of httpTarget, jobTarget and pubsubTarget")
    deadline = read_duration(spec, "attemptDeadline")
    if deadline is not None and "httpTarget" not in given:
        problems.add(spec.at("attemptDeadline"), "it is for an httpTarget")
    if "jobTarget" in given:
        return job_target(spec.node("jobTarget"))
    if "pubsubTarget" in given:
        return pubsub_target(spec.node("pubsubTarget"))
    target: HttpTarget = http_target(spec.node("httpTarget"), problems)
    return target if deadline is None else replace(target, deadline=deadline)


def job_target(node: Node) -> JobTarget:
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
        one_of(node, "acknowledge", Ack) or Ack.ON_START,
    )
    node.end()
    return target


def one_of(node: Node, key: str, kind: type[E]) -> E | None:
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
