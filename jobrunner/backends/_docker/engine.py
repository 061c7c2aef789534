"""The Engine API: versioned paths, JSON in and out, refusals as exceptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from jobrunner.backends._docker.endpoint import Endpoint
from jobrunner.backends._docker.http import Answer, EngineAway, Pool
from jobrunner.backends._docker.watch import Watch
from jobrunner.backends._docker.wire import BadAnswer, Head
from jobrunner.errors import BackendFault

SPOKEN = (1, 41)
"""The version of the Engine API that this code was written to; an engine that has dropped it is
spoken to in the oldest one that it still knows."""

FIRST_ANSWER = 10.0


class EngineRefused(BackendFault):
    """The engine answered, and said no. ``status`` is HTTP's; the message is the engine's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Facts:
    """What an engine says of itself. ``memory`` in bytes, ``cpus`` in cores."""

    version: str
    api: str
    os_type: str
    memory: int
    cpus: int
    logs: tuple[str, ...]
    live_restore: bool
    raw: Mapping[str, Any]


class Engine:
    """One engine. Every call raises EngineAway if it does not answer, EngineRefused if it will
    not; all of them may be sent twice without harm."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._pool = Pool(endpoint.connector())
        self._version: str | None = None
        self._facts: Facts | None = None
        self._asking = asyncio.Lock()
        self.watch = Watch(self)

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, fresh: bool = False
    ) -> Any:
        return _json(await self._call("GET", path, query, fresh=fresh))

    async def post(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        patient: bool = False,
    ) -> Any:
        """``patient`` waits for the answer as long as it takes."""
        return _json(await self._call("POST", path, query, body, patient=patient))

    async def delete(self, path: str, query: Mapping[str, str] | None = None) -> None:
        await self._call("DELETE", path, query)

    async def stream(
        self, method: str, path: str, query: Mapping[str, str], *, upgrade: bool = False
    ) -> AbstractAsyncContextManager[tuple[Head, AsyncIterator[bytes]]]:
        target = await self._target(path, query)
        return self._pool.stream(method, target, upgrade=upgrade)

    async def facts(self) -> Facts:
        """Asked once."""
        if self._facts is None:
            version = await self.get("/version")
            info = await self.get("/info")
            self._facts = read_facts(version, info)
        return self._facts

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any = None,
        *,
        fresh: bool = False,
        patient: bool = False,
    ) -> Answer:
        target = await self._target(path, query or {})
        content = None if body is None else json.dumps(body).encode()
        answer = await self._pool.call(method, target, content, fresh=fresh, patient=patient)
        if answer.status >= 400:
            raise EngineRefused(answer.status, message_of(answer.body))
        return answer

    async def _target(self, path: str, query: Mapping[str, str]) -> str:
        version = self._version or await self.version()
        return f"/v{version}{path}" + (f"?{urlencode(query)}" if query else "")

    async def version(self) -> str:
        """The version of the API that is spoken with this engine. Asked once."""
        async with self._asking:
            if self._version is None:
                answer = await self._pool.call("GET", "/version", limit=FIRST_ANSWER)
                if answer.status >= 400:
                    raise EngineRefused(answer.status, message_of(answer.body))
                self._version = agreed_version(_json(answer))
        return self._version

    def close(self) -> None:
        self.watch.close()
        self._pool.close()


def agreed_version(version: Mapping[str, Any]) -> str:
    """The version to speak, from the engine's answer to ``/version``. Raises BadAnswer."""
    try:
        newest = _numbers(version["ApiVersion"])
        oldest = _numbers(version.get("MinAPIVersion") or "1.12")
    except (KeyError, ValueError, AttributeError, TypeError):
        raise BadAnswer("What answers is not a container engine: it names no version.") from None
    major, minor = max(oldest, min(newest, SPOKEN))
    return f"{major}.{minor}"


def _numbers(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def read_facts(version: Mapping[str, Any], info: Mapping[str, Any]) -> Facts:
    plugins = info.get("Plugins") or {}
    return Facts(
        version=str(info.get("ServerVersion") or version.get("Version") or "unknown"),
        api=str(version.get("ApiVersion") or "unknown"),
        os_type=str(info.get("OSType") or "linux"),
        memory=int(info.get("MemTotal") or 0),
        cpus=int(info.get("NCPU") or 0),
        logs=tuple(plugins.get("Log") or ()),
        live_restore=bool(info.get("LiveRestoreEnabled")),
        raw=info,
    )


def message_of(body: bytes) -> str:
    """The engine's own words in an error answer."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        message = body.decode("utf-8", "replace")
    return str(message).strip() or "no reason was given"


def path_of(*parts: str) -> str:
    """A path from literal parts; every part is quoted."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _json(answer: Answer) -> Any:
    if not answer.body.strip():
        return None
    try:
        return json.loads(answer.body)
    except ValueError:
        raise BadAnswer("The container engine answered with something that is not JSON.") from None


__all__ = ["Engine", "EngineAway", "EngineRefused", "Facts", "path_of"]
