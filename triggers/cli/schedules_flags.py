"""The options that make and change schedules, named as gcloud's where gcloud has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli import values
from jobrunner.cli.base import Decorator, UsageProblem
from jobrunner.cli.params import DURATION, Parsed, whole
from jobrunner.core.timestamps import parse_time

if TYPE_CHECKING:
    from triggers.core.records import (
        HttpTarget,
        JobTarget,
        OAuthToken,
        OidcToken,
        PubsubTarget,
        Schedule,
    )

INSTANT = Parsed("time", lambda text: parse_time(text.strip()))


def backoff(shortest: str, doublings: int) -> tuple[Decorator, ...]:
    """The options of growing pauses between retries, with the defaults of their kind."""
    first = f"Before the first retry  [default: {shortest}]."
    then = f"Then it grows evenly  [default: {doublings}]."
    return (
        click.option("--min-backoff", type=DURATION, metavar="DURATION", help=first),
        click.option(
            "--max-backoff", type=DURATION, metavar="DURATION", help="At most that  [default: 1h]."
        ),
        click.option("--max-doublings", type=whole(0), metavar="N", help=then),
    )


Flags = dict[str, Any]
_DEFAULT = re.compile(r"\s*\[default: [^]]*\]")

SCHEDULE = (
    click.option("--schedule", "expression", metavar="EXPR", help="'*/5 * * * *', or in English."),
    click.option("--time-zone", metavar="ZONE", help="Of the expression  [default: Etc/UTC]."),
    click.option(
        "--gap", type=click.Choice(["run", "skip"]), help="A time that the clocks jump over."
    ),
    click.option(
        "--repeat", type=click.Choice(["first", "both"]), help="A time that the clocks show twice."
    ),
)
OVERLAPS = ("allow", "forbid", "queue-one", "queue-all", "replace")
POLICY = (
    click.option("--description", metavar="TEXT", help="For people."),
    click.option(
        "--overlap",
        type=click.Choice(OVERLAPS),
        help="While one is open  [default: queue-one for calls, allow for jobs].",
    ),
    click.option("--overlap-limit", type=whole(1, 1000), metavar="N", help="How many may be open."),
    click.option(
        "--overlap-scope", type=click.Choice(["schedule", "job"]), help="What counts as open."
    ),
    click.option(
        "--missed-runs",
        type=click.Choice(["latest", "all", "skip"]),
        help="What was due while nobody was there  [default: latest].",
    ),
    click.option("--missed-runs-limit", type=whole(1, 1000), metavar="N", help="Of 'all'."),
    click.option(
        "--missed-runs-window", type=DURATION, metavar="DURATION", help="Older ones are not run."
    ),
    click.option("--spread", type=DURATION, metavar="DURATION", help="A place of its own, later."),
    click.option("--jitter", type=DURATION, metavar="DURATION", help="Up to that much later."),
    click.option("--start", type=INSTANT, metavar="INSTANT", help="Nothing before."),
    click.option("--end", type=INSTANT, metavar="INSTANT", help="Nothing after."),
    click.option("--pause-after", type=whole(1), metavar="N", help="Failures in a row."),
    click.option("--max-retry-attempts", type=whole(0), metavar="N", help="After a failure, 0-5."),
    click.option("--max-retry-duration", type=DURATION, metavar="DURATION", help="From the first."),
    *backoff("5s", 5),
)
BODY = (
    click.option("--message-body", metavar="TEXT", help="Of the request or message."),
    click.option("--message-body-from-file", metavar="FILE", help="Of the request or message."),
)
PUBSUB = (
    click.option("--topic", metavar="TOPIC", help="What is published to."),
    click.option("--attributes", multiple=True, metavar="K=V,...", help="Of the message."),
)
HTTP = (
    click.option("--uri", metavar="URL", help="What is called."),
    click.option("--http-method", metavar="METHOD", help="Of the request  [default: POST]."),
    click.option("--headers", multiple=True, metavar="K=V,...", help="Of the request."),
    click.option("--oidc-service-account-email", metavar="EMAIL", help="Who an ID token is for."),
    click.option(
        "--oidc-token-audience", metavar="TEXT", help="Of the ID token  [default: the URL]."
    ),
    click.option("--oauth-service-account-email", metavar="EMAIL", help="For an access token."),
    click.option("--oauth-token-scope", metavar="TEXT", help="Of the access token."),
    click.option(
        "--attempt-deadline",
        type=DURATION,
        metavar="DURATION",
        help="Of one attempt  [default: 3m].",
    ),
)
JOB = (
    click.option("--job", metavar="JOB", help="What is executed."),
    click.option("--args", multiple=True, metavar="WORD,...", help="Arguments of the executions."),
    click.option("--update-env-vars", multiple=True, metavar="K=V,...", help="Added to them."),
    click.option("--tasks", type=whole(1, 10_000), metavar="N", help="Tasks of the executions."),
    click.option("--task-timeout", type=DURATION, metavar="DURATION", help="Per attempt."),
    click.option(
        "--acknowledge",
        type=click.Choice(["start", "success"]),
        help="'success': a failed execution is tried again by --max-retry-…  [default: start].",
    ),
)
# Flags whose setting has another name, or is read in another way.
_PLAIN = {
    "expression": "expression",
    "time_zone": "time_zone",
    "description": "description",
    "overlap_limit": "overlap_limit",
    "missed_runs_limit": "catch_up_limit",
    "missed_runs_window": "catch_up_window",
    "jitter": "jitter",
    "start": "starts_at",
    "end": "ends_at",
    "pause_after": "pause_after",
}
_RETRY = {
    "max_retry_attempts": "retry_count",
    "max_retry_duration": "max_retry_duration",
    "min_backoff": "min_backoff",
    "max_backoff": "max_backoff",
    "max_doublings": "max_doublings",
}


def options(*groups: tuple[Any, ...]) -> Decorator:
    def add(function: Any) -> Any:
        for option in reversed([one for group in groups for one in group]):
            function = option(function)
        return function

    return add


def changes(*groups: tuple[Any, ...]) -> Decorator:
    """As :func:`options`, for what is there already: what is not given stays as it is, so that the
    help tells of no defaults."""

    def add(function: Any) -> Any:
        function = options(*groups)(function)
        for param in function.__click_params__:
            if isinstance(param, click.Option) and param.help:
                param.help = _DEFAULT.sub("", param.help)
        return function

    return add


def names_of(group: tuple[Any, ...]) -> set[str]:
    """Of the flags that the options of a group fill."""
    command = click.command()(options(group)(lambda **flags: None))
    return {str(param.name) for param in command.params}


def given(flags: Flags) -> set[str]:
    return {name for name, value in flags.items() if value not in (None, ())}


def with_settings(schedule: Schedule, flags: Flags) -> Schedule:
    """``schedule`` with what the flags of SCHEDULE and POLICY say."""
    from dataclasses import replace

    from triggers.core.records import CatchUp, Gap, Overlap, OverlapScope, Repeat, ScheduleRetry

    changes: dict[str, Any] = {
        field: flags[flag] for flag, field in _PLAIN.items() if flags.get(flag) is not None
    }
    for flag, field, kind in (
        ("gap", "gap", Gap),
        ("repeat", "repeat", Repeat),
        ("overlap", "overlap", Overlap),
        ("overlap_scope", "overlap_scope", OverlapScope),
        ("missed_runs", "catch_up", CatchUp),
    ):
        if flags.get(flag) is not None:
            changes[field] = kind(flags[flag])
    if flags.get("spread") is not None:
        changes["spread"] = round(flags["spread"])
    retry = {field: flags[flag] for flag, field in _RETRY.items() if flags.get(flag) is not None}
    if retry and isinstance(schedule.retry, ScheduleRetry):
        changes["retry"] = replace(schedule.retry, **retry)
    return replace(schedule, **changes)


def http_target(old: HttpTarget, flags: Flags) -> HttpTarget:
    from dataclasses import replace

    changes: dict[str, Any] = {}
    for flag, field in (("uri", "url"), ("attempt_deadline", "deadline")):
        if flags.get(flag) is not None:
            changes[field] = flags[flag]
    if flags.get("http_method"):
        changes["method"] = flags["http_method"].upper()
    if flags.get("headers"):
        changes["headers"] = tuple(_read("--headers", values.merge_dicts, flags["headers"]).items())
    body = _body(flags)
    if body is not None:
        changes["body"] = body
    token = _token(flags)
    if token is not None:
        changes["token"] = token
    return replace(old, **changes)


def pubsub_target(old: PubsubTarget, project: str, flags: Flags) -> PubsubTarget:
    """A short name of a topic is one of ``project``."""
    from dataclasses import replace

    changes: dict[str, Any] = {}
    topic = flags.get("topic")
    if topic:
        changes["topic"] = topic if "/" in topic else f"projects/{project}/topics/{topic}"
    body = _body(flags)
    if body is not None:
        changes["data"] = body
    if flags.get("attributes"):
        pairs = _read("--attributes", values.merge_dicts, flags["attributes"])
        changes["attributes"] = tuple(pairs.items())
    return replace(old, **changes)


def _body(flags: Flags) -> bytes | None:
    if flags.get("message_body") is not None and flags.get("message_body_from_file"):
        raise UsageProblem("--message-body and --message-body-from-file exclude each other.")
    if flags.get("message_body") is not None:
        return str(flags["message_body"]).encode()
    if flags.get("message_body_from_file"):
        with open(flags["message_body_from_file"], "rb") as file:
            return file.read()
    return None


def job_target(old: JobTarget, flags: Flags) -> JobTarget:
    from dataclasses import replace

    from jobrunner.core.spec import ContainerOverride, EnvVar
    from triggers.core.records import Ack

    target, overrides = old, old.overrides
    if flags.get("job") is not None:
        target = replace(target, job=flags["job"])
    if flags.get("acknowledge"):
        target = replace(target, ack=Ack(flags["acknowledge"]))
    container = overrides.containers[0] if overrides.containers else ContainerOverride()
    if flags.get("args"):
        words = tuple(_read("--args", values.merge_lists, flags["args"]))
        container = replace(container, args=words)
    if flags.get("update_env_vars"):
        pairs = _read("--update-env-vars", values.merge_dicts, flags["update_env_vars"])
        env = {one.name: one for one in container.env}
        env |= {name: EnvVar(name, value) for name, value in pairs.items()}
        container = replace(container, env=tuple(env.values()))
    if container != ContainerOverride():
        overrides = replace(overrides, containers=(container,))
    if flags.get("tasks") is not None:
        overrides = replace(overrides, task_count=flags["tasks"])
    if flags.get("task_timeout") is not None:
        overrides = replace(overrides, timeout=flags["task_timeout"])
    return replace(target, overrides=overrides)


def _token(flags: Flags) -> OidcToken | OAuthToken | None:
    from triggers.core.records import OAuthToken, OidcToken

    oidc, oauth = flags.get("oidc_service_account_email"), flags.get("oauth_service_account_email")
    for kind, account in (("oidc", oidc), ("oauth", oauth)):
        if account == "":
            # A variable that is not set must not send a call without its token.
            raise UsageProblem(f"--{kind}-service-account-email is empty.")
    if oidc and oauth:
        raise UsageProblem(
            "--oidc-service-account-email and --oauth-service-account-email exclude each other."
        )
    if oidc:
        return OidcToken(oidc, flags.get("oidc_token_audience") or "")
    if oauth:
        scope = flags.get("oauth_token_scope")
        return OAuthToken(oauth, scope) if scope else OAuthToken(oauth)
    for flag in ("oidc_token_audience", "oauth_token_scope"):
        if flags.get(flag):
            name = flag.replace("_", "-")
            kind = name.partition("-")[0]
            raise UsageProblem(f"--{name} needs --{kind}-service-account-email.")
    return None


def _read(flag: str, read: Any, texts: Any) -> Any:
    try:
        return read(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=flag) from None
