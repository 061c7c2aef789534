"""Methods of ``projects.locations.operations``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from jobrunner.api.v1.answers import encoded, missing
from jobrunner.api.v2.frame import Frame
from jobrunner.api.v2.ledger import UNTIL_STARTED, Ledger
from jobrunner.api.v2.names import location
from jobrunner.api.v2.refusing import invalid
from jobrunner.calls import Answer, Call
from jobrunner.core import params
from jobrunner.core.documents import Document, Node
from jobrunner.core.durations import read_duration
from jobrunner.core.problems import Problems
from jobrunner.core.records import Operation, Scope
from jobrunner.errors import NotFound
from jobrunner.ports import Page

WAIT_REQUEST = "WaitOperationRequest"
LONGEST_WAIT = 30.0
"""Seconds of one long poll. A client that is answered with an operation that is not done asks
again; one that is not answered at all gives up."""
GLANCE = 0.25
"""Seconds between two looks at something that nobody reports."""
SCAN = 2000
OWN = frozenset({"job", "execution"})
"""What operations of this API are about."""
_FILTER = re.compile(r"\s*done\s*[:=]\s*(true|false)\s*", re.IGNORECASE)


class OperationMethods:
    def __init__(self, frame: Frame, ledger: Ledger) -> None:
        self._frame = frame
        self._ledger = ledger
        self._store = frame.parts.service.store

    async def get(self, call: Call) -> Answer:
        return Answer(encoded(self._ledger.shown(self._find(*self._named(call)))))

    async def list(self, call: Call) -> Answer:
        """Those of this API."""
        return await self._listed(call, own=True)

    async def list_others(self, call: Call) -> Answer:
        """Those of the APIs of plug-ins, which look for theirs at the same names of version 1."""
        return await self._listed(call, own=False)

    async def _listed(self, call: Call, *, own: bool) -> Answer:
        """Newest first. The filter is ``done:true`` or ``done:false``. A page looks at so many
        operations at most, and may be short."""
        scope = self._frame.scope(call)
        wanted = _wanted(call)
        bound = ("operations", location(scope), str(wanted), str(own))
        limit = params.page_size(call.params)
        after = params.page_after(call.params, *bound)
        found: list[Document] = []
        looked = 0
        while True:
            rows = self._page(scope, limit + 1, after)
            for operation in rows:
                if len(found) == limit:
                    return _listed(found, params.page_token(after or "", *bound))
                after = operation.id
                shown = self._ledger.shown(operation)
                ours = (operation.target_kind in OWN) is own
                if ours and wanted in (None, "done" in shown):
                    found.append(shown)
            looked += len(rows)
            if len(rows) <= limit:
                return _listed(found, None)
            if looked >= SCAN:
                return _listed(found, params.page_token(after or "", *bound))

    async def delete(self, call: Call) -> Answer:
        """Forgets the operation. What it is about goes on."""
        scope, id = self._named(call)

        def work() -> None:
            self._find(scope, id)
            self._store.delete_operation(scope, id)

        await self._frame.parts.commit(work)
        return Answer(b"{}")

    async def wait(self, call: Call) -> Answer:
        """As soon as it is done, or as it is when the time is over."""
        scope, id = self._named(call)
        clock = self._frame.parts.machine
        until = clock.monotonic() + _patience(call.body)
        while True:
            operation = self._find(scope, id)
            shown = self._ledger.shown(operation)
            left = until - clock.monotonic()
            if "done" in shown or left <= 0 or not self._frame.parts.runner.accepts():
                return Answer(encoded(shown))
            try:
                await self._progress(operation, left)
            except NotFound:
                continue

    async def _progress(self, operation: Operation, within: float) -> None:
        runner = self._frame.parts.runner
        if operation.kind.endswith(UNTIL_STARTED):
            # Nobody says when an execution starts.
            await asyncio.sleep(min(GLANCE, within))
        else:
            await runner.settled(operation.target_uid, within=within)

    def _page(self, scope: Scope, limit: int, after: str | None) -> Sequence[Operation]:
        return self._store.list_operations(scope, page=Page(limit, after))

    def _find(self, scope: Scope, id: str) -> Operation:
        try:
            return self._store.get_operation(scope, id)
        except NotFound:
            raise missing("OPERATION", id, scope) from None

    def _named(self, call: Call) -> tuple[Scope, str]:
        return self._frame.scope(call), call.params["operation"]


def _listed(found: Sequence[Document], token: str | None) -> Answer:
    said: Document = {}
    if found:
        said["operations"] = found
    if token is not None:
        said["nextPageToken"] = token
    return Answer(encoded(said))


def _wanted(call: Call) -> bool | None:
    text = call.params.get("filter", "")
    if not text.strip():
        return None
    match = _FILTER.fullmatch(text)
    if match is None:
        raise params.invalid(
            "filter", f"'{text[:60]}' is not a filter; allowed: done:true and done:false"
        )
    return match[1].lower() == "true"


def _patience(body: object) -> float:
    problems = Problems()
    root = Node(body, "", problems)
    root.skip("name")
    seconds = read_duration(root, "timeout")
    root.end()
    if problems.violations:
        raise invalid(WAIT_REQUEST, problems.violations)
    return LONGEST_WAIT if seconds is None else min(max(0.0, seconds), LONGEST_WAIT)
