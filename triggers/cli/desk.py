"""The deliveries of a home: through its server, or on its database where none runs."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from jobrunner.cli.base import State, may_have_server
from jobrunner.client.finding import Endpoint
from jobrunner.errors import NotFound, Refused, RunnerFault, UsageError

Document = dict[str, Any]
PATH = "/jobrunner/v1/deliveries"
ANSWER_SECONDS = 60.0


class Desk(Protocol):
    """See :class:`triggers.service.deliveries.Deliveries`."""

    def listing(self, query: Mapping[str, Any]) -> Document: ...
    def count(self, query: Mapping[str, Any]) -> Document: ...
    def describe(self, uid: str) -> Document: ...
    def send(self, body: Mapping[str, Any]) -> Document: ...
    def withdraw(self, uid: str, by: str) -> Document: ...
    def replay(self, body: Mapping[str, Any]) -> Document: ...
    def purge(self, body: Mapping[str, Any]) -> Document: ...


@contextmanager
def desk_of(state: State) -> Iterator[tuple[Desk, bool]]:
    """The desk, and whether it is that of a server."""
    settings = state.settings()
    if may_have_server(settings.home):
        from jobrunner.client.finding import find_server

        endpoint = find_server(os.environ, settings.home)
        if endpoint is not None:
            yield RemoteDesk(endpoint), True
            return
    from jobrunner.core.records import Scope
    from triggers.service.deliveries import Deliveries
    from triggers.store import open_deliveries

    with state.app() as app:
        # The store of a home shares its database with us, and nobody else; its port does not say.
        store = open_deliveries(getattr(app.store, "database"))  # noqa: B009
        scope = Scope(settings.project, settings.region)
        yield Deliveries(store, app.clock, app.ids, scope), False


class RemoteDesk:
    """Raises what the server's errors stand for, and RunnerFault where it does not answer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def listing(self, query: Mapping[str, Any]) -> Document:
        return self._call("GET", f"{PATH}?{urlencode(query)}")

    def count(self, query: Mapping[str, Any]) -> Document:
        return self._call("GET", f"{PATH}:count?{urlencode(query)}")

    def describe(self, uid: str) -> Document:
        return self._call("GET", f"{PATH}/{quote(uid, safe='')}")

    def send(self, body: Mapping[str, Any]) -> Document:
        return self._call("POST", PATH, body)

    def withdraw(self, uid: str, by: str) -> Document:
        return self._call("POST", f"{PATH}/{quote(uid, safe='')}:cancel", {})

    def replay(self, body: Mapping[str, Any]) -> Document:
        return self._call("POST", f"{PATH}:replay", body)

    def purge(self, body: Mapping[str, Any]) -> Document:
        return self._call("POST", f"{PATH}:purge", body)

    def _call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Document:
        from jobrunner.client.wire import connection_to

        endpoint = self._endpoint
        headers = {"Content-Type": "application/json", "User-Agent": "jobrunner"}
        if endpoint.token:
            headers["Authorization"] = f"Bearer {endpoint.token}"
        connection = connection_to(endpoint)
        try:
            connection.connect()
            connection.sock.settimeout(ANSWER_SECONDS)
            data = None if body is None else json.dumps(body).encode()
            connection.request(verb, path, data, headers)
            response = connection.getresponse()
            status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise RunnerFault(
                f"The server at {endpoint.url} does not answer: {why}.",
                hint="Look (list, describe) before you do it again.",
            ) from None
        finally:
            connection.close()
        if status != 200:
            raise _error(status, answer)
        try:
            found: Document = json.loads(answer)
        except ValueError:
            raise RunnerFault(f"The answer of the server at {endpoint.url} is no JSON.") from None
        return found


def _error(status: int, answer: bytes) -> Exception:
    from jobrunner.client.wire import refusal

    try:
        error = json.loads(answer)["error"]
        message, name = str(error["message"]), str(error["status"])
    except (ValueError, KeyError, TypeError):
        return refusal(status, answer)
    if name == "INVALID_ARGUMENT":
        return UsageError(message)
    if name == "NOT_FOUND" and "delivery" in message:
        return NotFound(message)
    if name in ("FAILED_PRECONDITION", "ALREADY_EXISTS", "ABORTED"):
        return Refused(message)
    return refusal(status, answer)
