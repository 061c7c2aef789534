"""A home behind a server without a network: what the wire carries is answered in this process."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jobrunner.api.rpc import methods
from jobrunner.calls import Call, Principal
from jobrunner.client.finding import Endpoint
from jobrunner.client.remote import Remote
from jobrunner.client.wire import Lost, Wire
from jobrunner.core.records import Execution, Scope
from jobrunner.lib.clock import SystemClock, WallClock
from jobrunner.lib.ids import RandomIds
from jobrunner.ports import Store
from jobrunner.service import Service, make_service
from jobrunner.service.parts import Parts
from jobrunner.settings import Settings
from jobrunner.store import open_store
from jobrunner.store.logs import FileLogs

T = TypeVar("T")
ENDPOINT = Endpoint("http", "127.0.0.1", 8686, "key", 1)


@dataclass
class FakeRunner:
    """Notes that it was called; drives nothing."""

    store: Store
    looks: int = 0
    troubles: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        self.looks += 1

    async def settled(self, uid: str, *, within: float | None) -> Execution:
        return self.store.get_execution_by_uid(uid)

    def accepts(self) -> bool:
        return True

    def trouble(self, uid: str) -> str | None:
        return self.troubles.get(uid)


@dataclass
class Server:
    """One home. ``failing`` holds what happens to the next exchanges: ``None`` lets one pass,
    ``before`` loses the request, ``after`` the answer."""

    home: Path
    failing: list[str | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock, ids = WallClock(), RandomIds()
        self.store = open_store("sqlite:///:memory:")
        self.logs = FileLogs(str(self.home / "logs"))
        self.service: Service = make_service(self.store, self.logs, clock, ids, actor="server")
        self.runner = FakeRunner(self.store)

        async def commit(work: Callable[[], T]) -> T:
            return work()

        parts = Parts(self.service, commit, self.runner, clock, ids, Scope(), SystemClock())
        self.methods = {method.path: method for method in methods(parts)}

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.asked.append(path.rpartition("/")[2])
        method = self.methods.get(path)
        if method is None:
            return 404, b'{"error": {"code": 404, "message": "no such path"}}'
        call = Call(body=json.loads(body), principal=Principal("ada"))
        found = asyncio.run(method.handler(call))
        data = found.body if isinstance(found.body, bytes) else json.dumps(found.body).encode()
        return found.status, data


class LocalWire(Wire):
    def __init__(self, server: Server) -> None:
        super().__init__(lambda: ENDPOINT, sleep=lambda seconds: None)
        self._server = server

    def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        fate = self._server.failing.pop(0) if self._server.failing else None
        if fate == "before":
            raise Lost(ConnectionRefusedError(111, "Connection refused"), sent=False)
        answer = self._server.answer(path, body)
        if fate == "after":
            raise Lost(ConnectionResetError(104, "Connection reset by peer"), sent=True)
        return answer


def remote(server: Server) -> Remote:
    settings = Settings(home=str(server.home), database_url="sqlite:///:memory:")
    return Remote(settings, lambda: ENDPOINT, wire=LocalWire(server), sleep=lambda seconds: None)


def names(found: Sequence[Any]) -> list[str]:
    return [one.name for one in found]
