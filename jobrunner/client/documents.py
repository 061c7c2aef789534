"""Calls of an API of our own in JSON documents: one request, one answer, errors as they were raised
there. For tables of methods that plug-ins bring; jobs and executions go through
:mod:`jobrunner.client.wire`."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from jobrunner.client.finding import Endpoint
from jobrunner.client.wire import connection_to, refusal
from jobrunner.errors import (
    AlreadyExists,
    BacklogFull,
    Conflict,
    InvalidSpec,
    JobrunnerError,
    NotFound,
    Refused,
    RunnerFault,
    UsageError,
    Violation,
)

Document = dict[str, Any]

ANSWER_SECONDS = 60.0
NO_SUCH_PATH = "there is nothing at "
"""How a server begins that has no such method; what is missing otherwise is what was asked for."""


class DocumentClient:
    """Asks the server at ``endpoint``, over a connection for each call. ``host`` is who is meant
    there, where that is somebody else: a server passes on what is for a neighbour of its own."""

    def __init__(self, endpoint: Endpoint, *, host: str = "") -> None:
        self._endpoint = endpoint
        self._host = host

    def call(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Document:
        """``path`` is encoded already. Raises what the server raised, and RunnerFault where it does
        not answer: then nobody knows whether it was done."""
        target = f"{path}?{urlencode(query, errors='surrogateescape')}" if query else path
        status, answer = self._exchange(verb, target, body)
        if status != 200:
            raise error_of(status, answer)
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise RunnerFault(f"The answer of the server at {self._endpoint.url} is no document.")
        return found

    def _exchange(
        self, verb: str, target: str, body: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        endpoint = self._endpoint
        headers = {"Content-Type": "application/json", "User-Agent": "jobrunner"}
        if endpoint.token:
            headers["Authorization"] = f"Bearer {endpoint.token}"
        if self._host:
            headers["Host"] = self._host
        connection = connection_to(endpoint)
        try:
            connection.connect()
            connection.sock.settimeout(ANSWER_SECONDS)
            data = None if body is None else json.dumps(body).encode()
            connection.request(verb, target, data, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            hint = "Look (list, describe) before you do it again." if verb != "GET" else None
            raise RunnerFault(
                f"The server at {endpoint.url} does not answer: {why}.", hint=hint
            ) from None
        finally:
            connection.close()


def error_of(status: int, answer: bytes) -> JobrunnerError:
    """The error behind an answer that is not 200, of the class that was raised there."""
    try:
        error = json.loads(answer)["error"]
        message, name = str(error["message"]), str(error["status"])
        details = [one for one in error.get("details", ()) if isinstance(one, dict)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return refusal(status, answer)
    hint = next(
        (str(link["description"]) for one in details for link in one.get("links", ())), None
    )
    if name == "INVALID_ARGUMENT" and status == 400:
        violations = [
            Violation(str(each.get("field", "")), str(each.get("description", "")))
            for one in details
            for each in one.get("fieldViolations", ())
        ]
        return InvalidSpec(violations, hint=hint) if violations else UsageError(message, hint=hint)
    if name == "NOT_FOUND" and not message.startswith(NO_SUCH_PATH):
        return NotFound(message, hint=hint)
    kind = {
        "FAILED_PRECONDITION": Refused,
        "ALREADY_EXISTS": AlreadyExists,
        "ABORTED": Conflict,
        "RESOURCE_EXHAUSTED": BacklogFull,
    }.get(name)
    return refusal(status, answer) if kind is None else kind(message, hint=hint)
