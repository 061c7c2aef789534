"""Subscriptions as JSON documents. Pure.

What can be written is named as in YAML of kind ``Subscription``: a document that was read can be
written again. The push token is nowhere in it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from jobrunner.core.durations import duration
from jobrunner.core.timestamps import format_time
from triggers.api.schedules.writing import target_body
from triggers.core.records import HttpTarget
from triggers.core.subscriptions import Intake, Subscription
from triggers.service.arrivals import Counts

Document = dict[str, Any]


def subscription_document(
    subscription: Subscription,
    *,
    url: str = "",
    alone: bool = True,
    counts: Counts | None = None,
    backlog: int | None = None,
    trouble: str = "",
) -> Document:
    """``url`` is where the server answers, empty where none does. ``alone`` says that nobody else
    has its name. A list has neither ``counts`` nor ``backlog``. ``trouble`` is what keeps
    messages from coming."""
    found: Document = {
        "name": subscription.name,
        "project": subscription.project,
        "region": subscription.region,
        "uid": subscription.uid,
        "state": str(subscription.state),
        **settings_document(subscription),
        "hasPushToken": bool(subscription.secret_hash),
        "createdAt": format_time(subscription.created_at),
        "updatedAt": format_time(subscription.updated_at),
        "resourceVersion": subscription.resource_version,
    }
    if subscription.intake is Intake.PUSH:
        found["pushPath"] = path = push_path(subscription, alone=alone)
        if url:
            found["pushUrl"] = f"{url}{path}"
    if counts is not None:
        found["messages"] = {"waiting": backlog or 0, **asdict(counts)}
    if trouble:
        found["trouble"] = trouble
    return found


def push_path(subscription: Subscription, *, alone: bool) -> str:
    name = quote(subscription.name, safe="")
    if alone:
        return f"/push/{name}"
    return f"/push/{quote(subscription.project, safe='')}/{subscription.region}/{name}"


def settings_document(subscription: Subscription) -> Document:
    """What people set, complete."""
    retry, target = subscription.retry, target_body(subscription.target)
    target.pop("attemptDeadline", None)
    if isinstance(subscription.target, HttpTarget):
        for plain in ("httpMethod", "body", "headers"):
            target["httpTarget"].pop(plain, None)
        if subscription.target.headers:
            target["httpTarget"]["headers"] = dict(subscription.target.headers)
    policy = letters = check = None
    if retry.min_backoff is not None:
        policy = {
            "minimumBackoff": duration(retry.min_backoff),
            "maximumBackoff": duration(retry.max_backoff),
        }
    if subscription.dead_letter_topic:
        letters = {
            "deadLetterTopic": subscription.dead_letter_topic,
            "maxDeliveryAttempts": retry.max_delivery_attempts,
        }
    if subscription.token is not None:
        check = {
            "keys": str(subscription.token.keys),
            "issuer": subscription.token.issuer,
            "audience": subscription.token.audience,
            "serviceAccountEmail": subscription.token.email,
        }
    return {
        "topic": subscription.topic,
        "subscription": subscription.pubsub_subscription,
        **target,
        "intake": str(subscription.intake),
        "accepts": str(subscription.accepts),
        "sends": str(subscription.sends),
        "filter": subscription.filter,
        "acknowledge": str(subscription.ack),
        "ackDeadlineSeconds": round(subscription.ack_deadline),
        "messageRetentionDuration": duration(retry.retention),
        "retryPolicy": policy,
        "deadLetterPolicy": letters,
        "enableMessageOrdering": subscription.ordered,
        "enableExactlyOnceDelivery": subscription.exactly_once,
        "senderToken": check,
        "backlog": subscription.backlog,
        "labels": dict(subscription.labels),
    }
