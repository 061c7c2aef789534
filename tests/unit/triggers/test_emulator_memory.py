"""What an emulator has forgotten is made again, and nothing that somebody has deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from triggers.sources.pubsub_memory import EmulatorMemory

TOPIC, PUSH = "projects/p/topics/t", "projects/p/subscriptions/s"
ENDPOINT = {"pushEndpoint": "http://127.0.0.1:1/push/s?token=x"}


class Emulator:
    """As Google's over HTTP: ``forget`` is a restart."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.made: list[str] = []

    def forget(self) -> None:
        self.there.clear()
        self.made.clear()

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/v1/")
        if request.method == "PUT":
            if name in self.there:
                return web.json_response({}, status=409)
            self.there[name] = {**(await request.json()), "name": name}
            self.made.append(name)
            return web.json_response(self.there[name])
        if name in self.there:
            return web.json_response(self.there[name])
        room = name.rpartition("/")[2]
        if room in ("topics", "subscriptions"):
            found = [one for key, one in self.there.items() if key.startswith(f"{name}/")]
            return web.json_response({room: found[:1]} if found else {})
        return web.json_response({}, status=404)

    @asynccontextmanager
    async def known_to(self, *projects: str) -> AsyncIterator[EmulatorMemory]:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        memory = EmulatorMemory(f"{host}:{port}", lambda: projects, poll=60.0)
        task = asyncio.ensure_future(memory.run())
        await asyncio.sleep(0)
        try:
            yield memory
        finally:
            task.cancel()
            await asyncio.wait([task])
            await runner.cleanup()


async def test_what_was_there_is_made_again_as_it_was_topics_first() -> None:
    emulator = Emulator()
    emulator.there[TOPIC] = {"name": TOPIC, "labels": {"a": "b"}}
    push = {"name": PUSH, "topic": TOPIC, "pushConfig": ENDPOINT, "ackDeadlineSeconds": 77}
    emulator.there[PUSH] = {**push, "state": "ACTIVE"}
    async with emulator.known_to() as memory:
        await memory.written(f"/v1/{PUSH}")
        emulator.forget()
        await memory.written(f"/v1/{PUSH}")
    assert emulator.made[:2] == [TOPIC, PUSH]
    assert emulator.there[TOPIC] == {"name": TOPIC, "labels": {"a": "b"}}
    assert emulator.there[PUSH] == push


async def test_what_was_deleted_stays_deleted() -> None:
    emulator = Emulator()
    emulator.there[TOPIC] = {"name": TOPIC}
    async with emulator.known_to("p") as memory:
        await memory.written(f"/v1/{TOPIC}")
        del emulator.there[TOPIC]
        await memory.written(f"/v1/{TOPIC}")
        emulator.forget()
        await memory.written(f"/v1/{TOPIC}")
        assert TOPIC not in emulator.there
        assert len(emulator.made) == 1, "the mark of the life that it is in now"
