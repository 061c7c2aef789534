"""Cloud Logging, as far as the output of jobs goes: ``entries:list``.

What a program writes is an entry as in production: a line that is a JSON object becomes
``jsonPayload``, or ``textPayload`` where nothing but its ``message`` is left.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence

from jobrunner.api.shapes import LIST_ENTRIES
from jobrunner.api.v1.answers import answer
from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.documents import Node, filled
from jobrunner.core.logfilter import Filter, parse_filter
from jobrunner.core.params import LARGEST_PAGE, invalid, page_after, page_token
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec
from jobrunner.service.entries import Position, Search, Wanted
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places

DEFAULT_PAGE = 50
MAX_PROJECTS = 100
_ORDER = re.compile(r"timestamp(\s+(asc|desc))?", re.IGNORECASE)
_PROJECT = re.compile(r"projects/([^/]+)(/locations/[^/]+/buckets/[^/]+/views/[^/]+)?")


def methods(parts: Parts) -> Sequence[Method]:
    return [
        Method("logging.logEntries.list", "POST", "/v2/entries:list", _Logging(parts).list,
               Role.VIEWER, summary="Lists what jobs have written", query=(), body=LIST_ENTRIES),
    ]  # fmt: skip


class _Logging:
    def __init__(self, parts: Parts) -> None:
        self._service = parts.service
        self._places = Places(parts.service.store)

    async def list(self, call: Call) -> Answer:
        wanted, bound = self._wanted(call.body)
        search = Search(self._service.store, self._service.logs, wanted)
        for _ in search.steps():
            # Others have their turn between two steps.
            await asyncio.sleep(0)
        more = search.more
        token = "" if more is None else page_token(json.dumps(more), *bound)
        return answer(filled(entries=list(search.page), nextPageToken=token))

    def _wanted(self, body: object) -> tuple[Wanted, tuple[str, ...]]:
        problems = Problems()
        root = Node(body, "", problems)
        names = (*root.texts("resourceNames"), *(f"projects/{p}" for p in root.texts("projectIds")))
        text = root.text("filter")
        order = root.text("orderBy").strip()
        size = root.whole("pageSize") or DEFAULT_PAGE
        token = root.text("pageToken")
        root.end()
        if not names:
            problems.add("resourceNames", "it is missing; write it as projects/PROJECT")
        if len(names) > MAX_PROJECTS:
            problems.add("resourceNames", f"there are {len(names)}; allowed: {MAX_PROJECTS}")
        if order and not _ORDER.fullmatch(order):
            problems.add(
                "orderBy",
                f"'{order[:60]}' is not an order; allowed: timestamp asc and timestamp desc",
            )
        if size < 0:
            problems.add("pageSize", f"{size} is negative")
        if problems.violations:
            raise InvalidSpec(problems.violations)
        newest_first = order.lower().endswith("desc")
        bound = (text, str(newest_first), *names)
        wanted = Wanted(
            projects=frozenset(map(self._project, names)),
            filter=_filter(text),
            newest_first=newest_first,
            limit=min(size, LARGEST_PAGE),
            after=_position(page_after({"pageToken": token}, *bound)),
        )
        return wanted, bound

    def _project(self, name: str) -> str:
        match = _PROJECT.fullmatch(name)
        if match is None:
            raise invalid(
                "resourceNames", f"'{name[:100]}' is not a project; write it as projects/PROJECT"
            )
        return self._places.project(match[1], "resourceNames")


def _filter(text: str) -> Filter:
    try:
        return parse_filter(text)
    except ValueError as error:
        raise invalid("filter", str(error)) from None


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    try:
        at, execution, task, attempt, line = json.loads(text)
        return Position(float(at), str(execution), int(task), int(attempt), int(line))
    except (ValueError, TypeError):
        raise invalid("pageToken", "it is not a token that this server gave out") from None
