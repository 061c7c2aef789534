"""Documents of subscriptions as values. Pure. Everything that is wrong is found and named by its
path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jobrunner.core.documents import Node
from jobrunner.core.durations import read_duration
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from triggers.api.scheduler.reading import http_target
from triggers.api.schedules.reading import job_target, one_of
from triggers.core.records import DEFAULT_BACKLOG, HttpTarget, JobTarget, PushRetry, Target
from triggers.core.subscriptions import (
    AckPolicy,
    Intake,
    Subscription,
    TokenCheck,
    TokenKeys,
    Wrapping,
)

Settings = dict[str, Any]
OUTPUT = (
    "uid", "state", "messages", "trouble", "pushPath", "pushUrl", "hasPushToken",
    "createdAt", "updatedAt",
)  # fmt: skip
"""What the server writes and nobody sets."""
NEW = Subscription("", "", "", "", HttpTarget(""))
LEAST_TOKEN = 16
"""Characters: a shorter one could be guessed."""
MIN_BACKOFF, MAX_BACKOFF, MAX_ATTEMPTS = 10.0, 600.0, 5
"""Of policies that are there and say no more."""


def settings_of(spec: Node, problems: Problems) -> Settings:
    """The fields of a subscription that a document says, defaults included, but for its push
    token. Names may be short, and a job without a project is one of nobody's yet:
    :func:`in_scope`."""
    deadline = spec.whole("ackDeadlineSeconds")
    backlog = spec.whole("backlog")
    letters = spec.node("deadLetterPolicy")
    found: Settings = {
        "topic": spec.text("topic"),
        "pubsub_subscription": spec.text("subscription"),
        "target": _target(spec, problems),
        "intake": one_of(spec, "intake", Intake) or Intake.PUSH,
        "accepts": one_of(spec, "accepts", Wrapping) or Wrapping.WRAPPED,
        "sends": one_of(spec, "sends", Wrapping) or Wrapping.WRAPPED,
        "filter": spec.text("filter"),
        "retry": _retry(spec, letters),
        "ack": one_of(spec, "acknowledge", AckPolicy) or AckPolicy.DURABLE,
        "ack_deadline": NEW.ack_deadline if not deadline else float(deadline),
        "dead_letter_topic": letters.text("deadLetterTopic"),
        "ordered": spec.flag("enableMessageOrdering"),
        "exactly_once": spec.flag("enableExactlyOnceDelivery"),
        "token": _check(spec.node("senderToken")),
        "backlog": DEFAULT_BACKLOG if backlog is None else backlog,
        "labels": spec.text_map("labels"),
    }
    if letters.present:
        if not found["dead_letter_topic"]:
            problems.add(letters.at("deadLetterTopic"), "it is empty; allowed: a topic")
        letters.end()
    return found


def push_token_of(spec: Node, problems: Problems) -> str | None:
    """The text that a sender must show; empty for none any more, ``None`` where nothing is
    said."""
    text = spec.optional_text("pushToken", private=True)
    if text and (len(text) < LEAST_TOKEN or not text.isascii() or not text.isprintable()):
        form = f"allowed: at least {LEAST_TOKEN} printable ASCII characters"
        problems.add(spec.at("pushToken"), f"it is too short, or hard to write in a URL; {form}")
    return text


def in_scope(settings: Settings, scope: Scope) -> Settings:
    """``settings`` with full names: a job, topics and a subscription of ``scope`` where none is
    named."""

    def full(key: str, kind: str) -> str:
        name: str = settings[key]
        return f"projects/{scope.project}/{kind}/{name}" if name and "/" not in name else name

    target: Target = settings["target"]
    if isinstance(target, JobTarget):
        place = Scope(target.project or scope.project, target.region or scope.region)
        target = replace(target, project=place.project, region=place.region)
    return {
        **settings,
        "target": target,
        "topic": full("topic", "topics"),
        "pubsub_subscription": full("pubsub_subscription", "subscriptions"),
        "dead_letter_topic": full("dead_letter_topic", "topics"),
    }


def _target(spec: Node, problems: Problems) -> Target:
    given = [key for key in ("httpTarget", "jobTarget") if spec.has(key)]
    if len(given) != 1:
        found = f"{' and '.join(given)} are set" if given else "there is none"
        problems.add(spec.path or "target", f"{found}; allowed: one of httpTarget and jobTarget")
    if "jobTarget" in given:
        return job_target(spec.node("jobTarget"))
    target: HttpTarget = http_target(spec.node("httpTarget"), problems)
    if target.method != "POST":
        problems.add("httpTarget.httpMethod", f"a push is a POST, not a {target.method}")
    if target.body:
        problems.add("httpTarget.body", "the body is the message")
    return target


def _retry(spec: Node, letters: Node) -> PushRetry:
    policy = spec.node("retryPolicy")
    retry = PushRetry()
    if policy.present:
        least, most = (read_duration(policy, f"{key}Backoff") for key in ("minimum", "maximum"))
        retry = replace(
            retry,
            min_backoff=MIN_BACKOFF if least is None else least,
            max_backoff=MAX_BACKOFF if most is None else most,
        )
        policy.end()
    if letters.present:
        attempts = letters.whole("maxDeliveryAttempts") or MAX_ATTEMPTS
        retry = replace(retry, max_delivery_attempts=attempts)
    retention = read_duration(spec, "messageRetentionDuration")
    return retry if retention is None else replace(retry, retention=retention)


def _check(node: Node) -> TokenCheck | None:
    if not node.present:
        return None
    check = TokenCheck(
        one_of(node, "keys", TokenKeys) or TokenKeys.GOOGLE,
        node.text("issuer"),
        node.text("audience"),
        node.text("serviceAccountEmail"),
    )
    node.end()
    return check
