"""Flags of ``deliveries send`` as the document that the API takes."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import click

from jobrunner.cli.base import State
from jobrunner.core.quantities import format_duration

Document = dict[str, Any]


def order_of(state: State, url: str | None, job: str | None, flags: Document) -> Document:
    ctx = click.get_current_context()
    if (url is None) is (job is None):
        raise click.UsageError("Name a URL, or a job by --job.", ctx=ctx)

    def text(name: str) -> str | None:
        value = flags[name]
        return format_duration(value) if isinstance(value, float) else value

    scope = state.scope()
    order: Document = {
        "project": scope.project,
        "region": scope.region,
        "key": flags["key"],
        "orderKey": flags["order_key"],
        "delay": text("delay"),
        "retry": present(
            {
                "retryCount": flags["max_retry_attempts"],
                "maxRetryDuration": text("max_retry_duration"),
                "minBackoff": text("min_backoff"),
                "maxBackoff": text("max_backoff"),
                "maxDoublings": flags["max_doublings"],
            }
        ),
    }
    http_only = (
        "data", "data_file", "http_method", "attempt_deadline", "oidc_service_account_email",
        "oidc_token_audience",
    )  # fmt: skip
    if job is not None:
        given = [name for name in http_only if flags[name] is not None]
        if given or flags["headers"]:
            name = (given or ["header"])[0].replace("_", "-")
            raise click.UsageError(f"--{name} does not go with --job.", ctx=ctx)
        order["job"] = present({"name": job, "acknowledgedOn": flags["acknowledge"]})
        return present(order)
    if flags["acknowledge"] is not None:
        raise click.UsageError("--acknowledge goes with --job only.", ctx=ctx)
    order["http"] = present(
        {
            "url": url,
            "method": flags["http_method"] and flags["http_method"].upper(),
            "headers": _headers(flags["headers"]),
            "body": _body(flags),
            "attemptDeadline": text("attempt_deadline"),
            "serviceAccount": flags["oidc_service_account_email"],
            "audience": flags["oidc_token_audience"],
        }
    )
    return present(order)


def _headers(texts: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"'{text}' is not 'NAME: VALUE'", param_hint="--header")
        headers[name.strip()] = value.strip()
    return headers


def _body(flags: Document) -> str | None:
    if flags["data"] is not None and flags["data_file"] is not None:
        ctx = click.get_current_context()
        raise click.UsageError("--data and --data-file exclude each other.", ctx=ctx)
    if flags["data_file"] is not None:
        data: bytes = flags["data_file"].read()
    elif flags["data"] is not None:
        data = flags["data"].encode("utf-8", "surrogateescape")
    else:
        return None
    return b64encode(data).decode()


def present(fields: Document) -> Document:
    return {name: value for name, value in fields.items() if value is not None}
