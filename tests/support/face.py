"""A face without a network: finds the method of a path, calls it, reads the answer as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from jobrunner.api.errors import envelope
from jobrunner.api.http.router import Router
from jobrunner.calls import Call, Method, Principal
from jobrunner.errors import JobrunnerError


class Said(NamedTuple):
    status: int
    body: Any

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])

    @property
    def error(self) -> tuple[int, str, str]:
        """Code, status and message."""
        error = self.body["error"]
        return error["code"], error["status"], error["message"]


class Face:
    """``region`` is what the host name of every call says, unless a call says otherwise."""

    def __init__(self, methods: Iterable[Method], *, region: str | None = "us-central1") -> None:
        self._router = Router(methods)
        self._region = region
        self.principal = Principal("ada@example.com")

    async def ask(
        self,
        verb: str,
        path: str,
        body: Any = None,
        *,
        region: str | None = "",
        key: str | None = None,
    ) -> Said:
        bare, _, query = path.partition("?")
        try:
            route, values = self._router.find(verb, bare.encode())
            call = Call(
                params={**dict(parse_qsl(query)), **dict(zip(route.names, values, strict=True))},
                body=body,
                region=self._region if region == "" else region,
                principal=self.principal,
                idempotency_key=key,
            )
            answer = await route.method.handler(call)
        except JobrunnerError as error:
            said = envelope(error)
            return Said(said["error"]["code"], json.loads(json.dumps(said)))
        text = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body)
        return Said(answer.status, json.loads(text))
