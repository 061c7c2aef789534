"""What comes from outside, as it comes: CloudEvents, pushes of Pub/Sub, messages for topics."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from jobrunner.client.documents import error_of
from jobrunner.client.finding import Endpoint
from jobrunner.client.wire import connection_to
from jobrunner.errors import RunnerFault

ANSWER_SECONDS = 60.0


def post_event(
    endpoint: Endpoint, event: Mapping[str, str], data: Any, channel: str | None
) -> None:
    """In structured mode. Raises what the server's refusal stands for."""
    document: dict[str, Any] = dict(event)
    if isinstance(data, bytes):
        document["data_base64"] = base64.b64encode(data).decode()
    elif data is not None:
        document["data"] = data
    path = "/events" if channel is None else f"/events/{quote(channel, safe='')}"
    headers = {"Content-Type": "application/cloudevents+json"}
    status, answer = _post(endpoint, path, json.dumps(document).encode(), headers)
    if not 200 <= status <= 299:
        raise error_of(status, answer)


def post_push(
    endpoint: Endpoint, subscription: str, message: Mapping[str, Any], project: str
) -> int:
    full = f"projects/{project}/subscriptions/{subscription}"
    body = json.dumps({"message": message, "subscription": full}).encode()
    headers = {"Content-Type": "application/json", "From": "noreply@google.com"}
    path = f"/push/{quote(subscription, safe='')}"
    status, _ = _post(endpoint, path, body, headers)
    return status


def _post(
    endpoint: Endpoint, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    connection = connection_to(endpoint)
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)
        key = {"Authorization": f"Bearer {endpoint.token}"} if endpoint.token else {}
        connection.request("POST", path, body, {**headers, **key})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise RunnerFault(f"The server at {endpoint.url} does not answer: {error}.") from None
    finally:
        connection.close()


def publish(
    emulator: str, topic: str, data: bytes, attributes: dict[str, str], ordering_key: str
) -> str:
    """Raises RunnerFault with what the emulator says."""
    message: dict[str, Any] = {"data": base64.b64encode(data).decode(), "attributes": attributes}
    if ordering_key:
        message["orderingKey"] = ordering_key
    request = urllib.request.Request(
        f"http://{emulator}/v1/{topic}:publish",
        data=json.dumps({"messages": [message]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            [number] = json.load(answer)["messageIds"]
            return str(number)
    except HTTPError as error:
        with error:
            said = error.read().decode(errors="replace")
        raise RunnerFault(f"The emulator did not take a message for {topic}: {said}") from None
    except (URLError, OSError) as error:
        raise RunnerFault(f"The emulator at {emulator} does not answer: {error}") from None
