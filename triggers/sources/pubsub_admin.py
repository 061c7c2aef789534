"""Topics and subscriptions of the Pub/Sub emulator, over its HTTP face."""

from __future__ import annotations

from typing import Any

from triggers.event_ports import PubsubTrouble

PATIENCE = 5.0
_SUBSCRIPTION = {
    "ackDeadlineSeconds": 600,
    "messageRetentionDuration": "86400s",
    "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"},
}
_DONE = frozenset({200, 204})


class EmulatorAdmin:
    """:class:`triggers.event_ports.PubsubAdmin` for the emulator at ``HOST:PORT``."""

    def __init__(self, host: str) -> None:
        self._host = host

    async def make_topic(self, name: str) -> None:
        await self._ask("PUT", name, {}, also=409)

    async def make_subscription(self, name: str, topic: str) -> None:
        await self._ask("PUT", name, {"topic": topic, **_SUBSCRIPTION}, also=409)

    async def drop_topic(self, name: str) -> None:
        await self._ask("DELETE", name, None, also=404)

    async def drop_subscription(self, name: str) -> None:
        await self._ask("DELETE", name, None, also=404)

    async def _ask(self, verb: str, name: str, body: dict[str, Any] | None, *, also: int) -> None:
        import aiohttp

        url = f"http://{self._host}/v1/{name}"
        limit = aiohttp.ClientTimeout(total=PATIENCE)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.request(verb, url, json=body) as answer,
            ):
                if answer.status in _DONE or answer.status == also:
                    return
                said = " ".join((await answer.text(errors="replace"))[:300].split())
                problem = f"the emulator at {self._host} answers {answer.status}: {said}"
        except TimeoutError:
            problem = f"the emulator at {self._host} does not answer within {PATIENCE:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            problem = f"the emulator at {self._host} cannot be reached: {error}"
        raise PubsubTrouble(problem)
