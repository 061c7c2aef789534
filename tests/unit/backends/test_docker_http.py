"""The client against small real servers on a unix socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobrunner.backends._docker.http import EngineAway, Pool

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def served(path: Path, serve: Serve) -> AsyncIterator[Pool]:
    """A pool to a server that calls ``serve`` with each connection and its number."""
    count = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            await serve(reader, writer, count)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(take, path / "s")
    pool = Pool(lambda: asyncio.open_unix_connection(path / "s"), timeout=5.0)
    try:
        yield pool
    finally:
        pool.close()
        server.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def test_a_connection_is_used_again(tmp_path: Path) -> None:
    connections = set()

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        connections.add(number)
        while True:
            await request(reader)
            writer.write(OK)

    async with served(tmp_path, serve) as pool:
        for _ in range(3):
            answer = await pool.call("GET", "/x")
            assert (answer.status, answer.body) == (200, b"ok")
        assert connections == {1}
        await pool.call("GET", "/x", fresh=True)
        assert connections == {1, 2}


async def test_a_kept_connection_that_died_is_replaced_without_a_word(tmp_path: Path) -> None:
    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        await request(reader)
        writer.write(OK)
        await writer.drain()

    async with served(tmp_path, serve) as pool:
        for _ in range(3):
            assert (await pool.call("GET", "/x")).body == b"ok"


async def test_an_answer_that_breaks_off_means_that_the_engine_is_away(tmp_path: Path) -> None:
    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    async with served(tmp_path, serve) as pool:
        with pytest.raises(EngineAway):
            await pool.call("GET", "/x")


async def test_no_answer_in_time_means_that_the_engine_is_away(tmp_path: Path) -> None:
    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        await request(reader)
        await reader.read()

    async with served(tmp_path, serve) as pool:
        with pytest.raises(EngineAway, match=r"no answer to GET /x for 0\.05 s"):
            await pool.call("GET", "/x", limit=0.05)


async def test_nobody_there_means_that_the_engine_is_away(tmp_path: Path) -> None:
    pool = Pool(lambda: asyncio.open_unix_connection(tmp_path / "none"))
    with pytest.raises(EngineAway) as away:
        await pool.call("GET", "/x")
    assert isinstance(away.value.__cause__, FileNotFoundError)


async def test_a_call_that_is_cancelled_leaves_no_half_used_connection(tmp_path: Path) -> None:
    slow = asyncio.Event()

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        while True:
            if b"/slow" in await request(reader):
                slow.set()
                await asyncio.sleep(0.05)
            writer.write(OK)

    async with served(tmp_path, serve) as pool:
        call = asyncio.ensure_future(pool.call("GET", "/slow"))
        await slow.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert (await pool.call("GET", "/x")).body == b"ok"


async def test_a_stream_gives_pieces_as_they_come_and_tells_a_break(tmp_path: Path) -> None:
    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        whole = b"whole" in await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await writer.drain()
        if whole:
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
            await writer.drain()

    async with served(tmp_path, serve) as pool:
        async with pool.stream("GET", "/whole") as (head, pieces):
            assert head.status == 200
            assert b"".join([piece async for piece in pieces]) == b"onetwo"
        async with pool.stream("GET", "/broken") as (_, pieces):
            assert await anext(pieces) == b"one"
            with pytest.raises(EngineAway, match="broke off"):
                await anext(pieces)
