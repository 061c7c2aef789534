"""``jobrunner serve`` with parts of the push ingress left out.

    python push_server.py OPTION...

Everything is the product's. With ``HOLD`` in the environment nothing is sent on; with ``FORGET``
what comes in is read, planned, answered and stored nowhere: the same server without a database.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from jobrunner.cli.main import main
from jobrunner.ports import Joined
from jobrunner.service.commit import GroupCommit
from triggers.api.push.ingress import _Ingress
from triggers.service.dispatch import Dispatcher
from triggers.store.sql import SqlDeliveries


async def held(self: Dispatcher) -> None:
    await asyncio.Event().wait()


def opened(self: SqlDeliveries, wanted: Any) -> Any:
    return wanted


def forget() -> None:
    grouped = GroupCommit.__call__

    async def commit(self: GroupCommit, work: Callable[[], Any]) -> Any:
        if isinstance(work, Joined) and work.each.__qualname__ == _Ingress._accept.__qualname__:
            return work()
        return await grouped(self, work)

    SqlDeliveries.open = opened  # type: ignore[method-assign]
    SqlDeliveries.open_each = opened  # type: ignore[method-assign]
    GroupCommit.__call__ = commit  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    if os.environ.get("HOLD"):
        Dispatcher.run = held  # type: ignore[method-assign]
    if os.environ.get("FORGET"):
        forget()
    main()
