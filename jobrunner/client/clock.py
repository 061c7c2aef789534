"""The clock of a server, seen and moved through its API."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from jobrunner.client.finding import Endpoint
from jobrunner.client.wire import connection_to, refusal
from jobrunner.errors import Refused, RunnerFault, UsageError

PATH = "/jobrunner/v1/clock"
SLICE_SECONDS = 5.0
"""A long way is gone in calls of about this length, so that none is cut off."""
ANSWER_SECONDS = 30.0

Document = dict[str, Any]


class RemoteClock:
    """Raises what the server's errors stand for, and RunnerFault where it does not answer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def show(self) -> Document:
        return self._call("GET", PATH, None, ANSWER_SECONDS)

    def advance(self, wanted: Mapping[str, str], patience: float) -> Document:
        """``wanted`` is ``by`` or ``until``; ``patience`` in seconds of real time. Returns when it
        has arrived, or when the server's patience is over."""
        instants = 0
        while True:
            body = {**wanted, "patience": f"{patience:.3f}s", "within": f"{SLICE_SECONDS}s"}
            found = self._call(
                "POST", f"{PATH}:advance", body, SLICE_SECONDS + patience + ANSWER_SECONDS
            )
            instants += found["instants"]
            if found["arrived"] or found["doing"]:
                return {**found, "instants": instants}
            wanted = {"until": found["target"]}

    def _call(
        self, verb: str, path: str, body: Mapping[str, Any] | None, seconds: float
    ) -> Document:
        endpoint = self._endpoint
        headers = {"Content-Type": "application/json", "User-Agent": "jobrunner"}
        if endpoint.token:
            headers["Authorization"] = f"Bearer {endpoint.token}"
        connection = connection_to(endpoint)
        try:
            connection.connect()
            connection.sock.settimeout(seconds)
            data = None if body is None else json.dumps(body).encode()
            connection.request(verb, path, data, headers)
            response = connection.getresponse()
            status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise RunnerFault(
                f"The server at {endpoint.url} does not answer: {why}.",
                hint="Its clock goes on from where it stands: jobrunner clock show",
            ) from None
        finally:
            connection.close()
        if status != 200:
            raise _error(status, answer)
        found: Document = json.loads(answer)
        return found


def _error(status: int, answer: bytes) -> Exception:
    try:
        error = json.loads(answer)["error"]
        message, name = str(error["message"]), str(error["status"])
    except (ValueError, KeyError, TypeError):
        return refusal(status, answer)
    if name == "INVALID_ARGUMENT":
        return UsageError(message)
    if name == "FAILED_PRECONDITION":
        return Refused(message)
    return refusal(status, answer)
