"""The deadline of a call is about when the answer came, not about when this process looked."""

import asyncio

import pytest

from triggers.senders.urls import read_url
from triggers.senders.wire.connection import Connection, Late
from triggers.senders.wire.request import route
from triggers.senders.wire.response import Reader


class Deaf(asyncio.Transport):
    """Takes everything, and says nothing."""

    def write(self, data: object) -> None: ...

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


async def overdue() -> tuple[Connection, asyncio.Task[Reader]]:
    """A call whose deadline has passed, and whose alarm has rung before anything was read: so it is
    after SIGCONT, which ends the wait for sockets without looking at them."""
    place = route(read_url("http://127.0.0.1:9/"), None, False, True).place
    connection = Connection(place, lambda gone: None)
    connection.connection_made(Deaf())
    loop = asyncio.get_running_loop()
    task = loop.create_task(connection.call(b"GET / HTTP/1.1\r\n\r\n", b"", loop.time() - 1))
    for _ in range(3):
        await asyncio.sleep(0)
    return connection, task


async def test_an_answer_that_came_while_this_process_stood_still_counts() -> None:
    connection, task = await overdue()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    async with asyncio.timeout(20):
        assert (await task).status == 200


async def test_where_nothing_came_the_call_is_late() -> None:
    _, task = await overdue()
    with pytest.raises(Late):
        async with asyncio.timeout(20):
            await task
