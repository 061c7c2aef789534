"""The options that make and change subscriptions, named as gcloud's where it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli import values
from jobrunner.cli.base import UsageProblem
from jobrunner.cli.params import DURATION, whole
from triggers.cli.schedules_flags import JOB as SCHEDULE_JOB
from triggers.cli.schedules_flags import job_target, names_of

if TYPE_CHECKING:
    from jobrunner.core.records import Scope

Document = dict[str, Any]
FORMS = ("wrapped", "unwrapped", "unwrapped-metadata")

JOB = tuple(option for option in SCHEDULE_JOB if "acknowledge" not in names_of((option,)))
SOURCE = (
    click.option("--topic", metavar="TOPIC", help="Where messages are published."),
    click.option(
        "--pubsub-subscription",
        "subscription",
        metavar="NAME",
        help="What envelopes name  [default: by project and name].",
    ),
    click.option("--pull", is_flag=True, help="Consume a subscription of Pub/Sub."),
    click.option(
        "--accepts", type=click.Choice(FORMS), help="Form of pushes that come in  [wrapped]."
    ),
    click.option("--message-filter", metavar="EXPR", help='attributes.kind = "a" …'),
    click.option("--backlog", type=whole(1), metavar="N", help="May wait  [default: 10000]."),
)
TARGET = (
    click.option(
        "--push-endpoint", "--url", "push_endpoint", metavar="URL", help="What is called."
    ),
    click.option("--headers", multiple=True, metavar="K=V,...", help="Added to the calls."),
    click.option("--sends", type=click.Choice(FORMS), help="Form of the calls  [wrapped]."),
    click.option("--push-auth-service-account", metavar="EMAIL", help="Who their ID token is for."),
    click.option("--push-auth-token-audience", metavar="TEXT", help="[default: the URL]"),
)
POLICY = (
    click.option(
        "--ack",
        type=click.Choice(["durable", "finished"]),
        help="When Pub/Sub is told: stored, or accepted by the target  [durable].",
    ),
    click.option("--ack-deadline", type=whole(10, 600), metavar="SECONDS", help="[default: 10]"),
    click.option("--min-retry-delay", type=DURATION, metavar="DURATION", help="[default: none]"),
    click.option("--max-retry-delay", type=DURATION, metavar="DURATION", help="[default: 600s]"),
    click.option("--message-retention-duration", type=DURATION, metavar="DURATION", help="[7d]"),
    click.option("--dead-letter-topic", metavar="TOPIC", help="Of what is given up."),
    click.option(
        "--max-delivery-attempts", type=whole(5, 100), metavar="N", help="Before that  [5]."
    ),
    click.option(
        "--enable-message-ordering/--no-enable-message-ordering",
        default=None,
        help="One after the other by key.",
    ),
    click.option(
        "--enable-exactly-once-delivery/--no-enable-exactly-once-delivery",
        default=None,
        help="Of what is pulled.",
    ),
    click.option("--labels", multiple=True, metavar="K=V,...", help="For people."),
)
SENDER = (
    click.option(
        "--push-token/--no-push-token",
        default=None,
        help="Make a token that senders show as ?token=; printed once.",
    ),
    click.option("--push-token-from-file", metavar="FILE", help="The same with a text of yours."),
    click.option(
        "--sender-keys",
        type=click.Choice(["google", "ours", "none"]),
        help="Check the ID token of senders by these keys.",
    ),
    click.option("--sender-audience", metavar="TEXT", help="Of that token  [the push URL]."),
    click.option("--sender-email", metavar="EMAIL", help="Of that token  [default: any]."),
    click.option("--sender-issuer", metavar="TEXT", help="Of that token  [that of the keys]."),
)
CLEARING = (
    click.option("--clear-retry-policy", is_flag=True, help="Again as soon as possible."),
    click.option("--clear-dead-letter-policy", is_flag=True, help="Try until it is too old."),
)
_PLAIN = {
    "topic": "topic",
    "subscription": "subscription",
    "accepts": "accepts",
    "sends": "sends",
    "message_filter": "filter",
    "backlog": "backlog",
    "ack": "acknowledge",
    "ack_deadline": "ackDeadlineSeconds",
    "enable_message_ordering": "enableMessageOrdering",
    "enable_exactly_once_delivery": "enableExactlyOnceDelivery",
}
_SENDER = {
    "sender_audience": "audience",
    "sender_email": "serviceAccountEmail",
    "sender_issuer": "issuer",
}


def merged(old: Document, scope: Scope, flags: Document) -> Document:
    """The settings of a subscription with what the flags change; the push token apart."""
    found = dict(old)
    for flag, key in _PLAIN.items():
        if flags[flag] is not None:
            found[key] = flags[flag]
    if flags.get("pull"):
        found["intake"] = "pull"
    if flags["labels"]:
        found["labels"] = _pairs("--labels", flags["labels"])
    _policies(found, flags)
    _sender(found, flags)
    _target(found, scope, flags)
    return found


def push_token(flags: Document) -> str | None:
    """A new one, that of the file, empty for none any more; ``None`` where nothing is said."""
    if flags["push_token_from_file"]:
        if flags["push_token"] is not None:
            raise UsageProblem("--push-token and --push-token-from-file exclude each other.")
        try:
            with open(flags["push_token_from_file"], encoding="utf-8") as file:
                return file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            where = "--push-token-from-file"
            raise click.BadParameter(f"it cannot be read: {error}", param_hint=where) from None
    if flags["push_token"]:
        import secrets

        return secrets.token_urlsafe(32)
    return "" if flags["push_token"] is False else None


def _policies(found: Document, flags: Document) -> None:
    retry = dict(found.get("retryPolicy") or {})
    for flag, key in (("min_retry_delay", "minimum"), ("max_retry_delay", "maximum")):
        if flags[flag] is not None:
            retry[f"{key}Backoff"] = _seconds(flags[flag])
    letters = dict(found.get("deadLetterPolicy") or {})
    if flags["dead_letter_topic"] is not None:
        letters["deadLetterTopic"] = flags["dead_letter_topic"]
    if flags["max_delivery_attempts"] is not None:
        letters["maxDeliveryAttempts"] = flags["max_delivery_attempts"]
    if letters and not letters.get("deadLetterTopic"):
        raise UsageProblem("--max-delivery-attempts goes with --dead-letter-topic.")
    found["retryPolicy"] = None if flags.get("clear_retry_policy") else retry or None
    found["deadLetterPolicy"] = None if flags.get("clear_dead_letter_policy") else letters or None
    if flags["message_retention_duration"] is not None:
        found["messageRetentionDuration"] = _seconds(flags["message_retention_duration"])


def _sender(found: Document, flags: Document) -> None:
    given = {key: flags[flag] for flag, key in _SENDER.items() if flags[flag] is not None}
    if flags["sender_keys"] == "none":
        found["senderToken"] = None
        return
    check = dict(found.get("senderToken") or {})
    if flags["sender_keys"] is not None:
        check["keys"] = flags["sender_keys"]
    if given and not check:
        raise UsageProblem(
            "--sender-audience, --sender-email and --sender-issuer need --sender-keys."
        )
    found["senderToken"] = {**check, **given} or None


def _target(found: Document, scope: Scope, flags: Document) -> None:
    http = {"push_endpoint", "headers", "push_auth_service_account", "push_auth_token_audience"}
    calls = {name for name in http if flags[name]}
    job = {name for name in names_of(JOB) if flags[name]}
    if calls and job:
        raise UsageProblem("It calls a URL (--url) or starts a job (--job), not both.")
    if calls:
        found.pop("jobTarget", None)
        found["httpTarget"] = _http(dict(found.get("httpTarget") or {}), flags)
    elif job:
        found.pop("httpTarget", None)
        found["jobTarget"] = _job(found.get("jobTarget"), scope, flags)
    elif "httpTarget" not in found and "jobTarget" not in found:
        raise UsageProblem("Name what it calls: --url or --job.")


def _http(target: Document, flags: Document) -> Document:
    if flags["push_endpoint"] is not None:
        target["uri"] = flags["push_endpoint"]
    if flags["headers"]:
        target["headers"] = _pairs("--headers", flags["headers"])
    token = dict(target.get("oidcToken") or {})
    if flags["push_auth_service_account"] is not None:
        token["serviceAccountEmail"] = flags["push_auth_service_account"]
    if flags["push_auth_token_audience"] is not None:
        token["audience"] = flags["push_auth_token_audience"]
    if token and not token.get("serviceAccountEmail"):
        raise UsageProblem("--push-auth-token-audience needs --push-auth-service-account.")
    return {**target, "oidcToken": token} if token else target


def _job(old: Document | None, scope: Scope, flags: Document) -> Document:
    from jobrunner.core.documents import Node
    from jobrunner.core.problems import Problems
    from triggers.api.schedules.reading import job_target as read
    from triggers.api.schedules.writing import target_body
    from triggers.core.records import JobTarget

    known = JobTarget("", scope.project, scope.region)
    if old is not None:
        known = read(Node(old, "jobTarget", Problems()))
    found: Document = target_body(job_target(known, flags))["jobTarget"]
    return found


def _seconds(value: float) -> str:
    from jobrunner.core.durations import duration

    return duration(value)


def _pairs(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    try:
        return values.merge_dicts(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=flag) from None
