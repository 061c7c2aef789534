"""Where the calls of an event trigger go.

A service that is known by its name only gets a URL under ``.service.invalid``, which no network
answers: whoever sends looks the name up, and until it is there the delivery is retried.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from jobrunner.core.records import Scope
from triggers.core.event_triggers import EventTrigger, HttpDestination, ServiceDestination
from triggers.core.event_validation import is_url
from triggers.core.events import CloudEvent
from triggers.core.google_events import MESSAGE_PUBLISHED, OBJECT, in_uri

MODE = "__GCP_CloudEventsMode"

_PENDING = re.compile(
    r"http://(?P<name>[^./]+)\.(?P<region>[^./]+)\.(?P<project>[^/]+)\.service\.invalid"
    r"(?P<path>[/?].*)?",
    re.DOTALL,
)

Resolve = Callable[[Scope, str], str | None]
"""The URL of a service by its name; ``None`` if nobody has said it yet."""


def url_of(trigger: EventTrigger, resolve: Resolve) -> str:
    """Where its calls go. Raises TypeError for a destination that is not called."""
    match trigger.destination:
        case HttpDestination(uri):
            return uri
        case ServiceDestination(service, path, region):
            if is_url(service):
                return _joined(service, path)
            scope = Scope(trigger.project, region or trigger.region)
            known = resolve(scope, service)
            return _joined(known, path) if known else pending_url(scope, service, path)
        case other:
            raise TypeError(f"{type(other).__name__} has no URL")


def pending_url(scope: Scope, service: str, path: str = "") -> str:
    """Stands for a service whose URL is not known."""
    return _joined(f"http://{service}.{scope.region}.{scope.project}.service.invalid", path)


def read_pending_url(url: str) -> tuple[Scope, str, str] | None:
    """Scope, name and path of the service that a URL stands for; ``None`` for a real URL."""
    found = _PENDING.fullmatch(url)
    if found is None:
        return None
    return Scope(found["project"], found["region"]), found["name"], found["path"] or ""


def resolved_url(url: str, resolve: Resolve) -> str | None:
    """The URL to call; ``None`` while the service that it stands for is not known."""
    pending = read_pending_url(url)
    if pending is None:
        return url
    scope, name, path = pending
    known = resolve(scope, name)
    return _joined(known, path) if known else None


def with_mode(url: str, event: CloudEvent) -> str:
    """``url`` with the query that Eventarc puts behind the URL of a Cloud Run service."""
    if event.type == MESSAGE_PUBLISHED:
        topic = event.source.removeprefix("//pubsub.googleapis.com/")
        mode = f"CUSTOM_PUBSUB_{in_uri(topic).replace('/', '%2F')}"
    elif event.type.startswith(OBJECT):
        mode = "GCS_NOTIFICATION"
    else:
        mode = "CE_PUBSUB_BINDING"
    return f"{url}{'&' if '?' in url else '?'}{MODE}={mode}"


def _joined(base: str, path: str) -> str:
    if not path:
        return base
    if path.startswith("?"):
        return base + path
    return f"{base.rstrip('/')}/{path.lstrip('/')}"
