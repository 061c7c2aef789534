"""``/jobrunner/v1/buckets``: directories of this machine that stand for buckets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.core.timestamps import format_time
from jobrunner.errors import InvalidSpec
from jobrunner.ports import Commit
from triggers.api.own import PAGE, PLACE, Where, body_of, page
from triggers.core.buckets import Bucket
from triggers.service.buckets import Buckets

PATH = "/jobrunner/v1/buckets"
ONE = f"{PATH}/{{bucket}}"


def bucket_methods(
    buckets: Buckets, where: Where, commit: Commit, look: Callable[[], None]
) -> Sequence[Method]:
    """``look`` tells whoever watches directories that there is another one."""
    table = _Table(buckets, where, commit, look)
    return [
        Method(
            "jobrunner.buckets.list", "GET", PATH, table.list, Role.VIEWER,
            query=(*PLACE, *PAGE), summary="Lists buckets by name",
        ),
        Method(
            "jobrunner.buckets.get", "GET", ONE, table.get, Role.VIEWER, query=PLACE,
            summary="Shows which directory stands for a bucket",
        ),
        Method(
            "jobrunner.buckets.set", "PUT", ONE, table.set, Role.ADMIN, changes=True, query=PLACE,
            summary="Lets a directory stand for a bucket",
        ),
        Method(
            "jobrunner.buckets.delete", "DELETE", ONE, table.delete, Role.ADMIN, changes=True,
            query=PLACE, summary="Forgets a bucket; its directory stays as it is",
        ),
    ]  # fmt: skip


class _Table:
    def __init__(
        self, buckets: Buckets, where: Where, commit: Commit, look: Callable[[], None]
    ) -> None:
        self._buckets = buckets
        self._where = where
        self._commit = commit
        self._look = look

    async def list(self, call: Call) -> Answer:
        scope = self._where.scope(call.params)

        return Answer(page(call, "buckets", scope, self._buckets.survey, bucket_document))

    async def get(self, call: Call) -> Answer:
        return Answer(bucket_document(self._buckets.get(*self._named(call))))

    async def set(self, call: Call) -> Answer:
        problems = Problems()
        node = Node(body_of(call), "", problems)
        node.skip("name", "createdAt", *PLACE)
        directory = node.text("directory")
        node.end()
        if problems.violations:
            raise InvalidSpec(problems.violations)
        scope, name = self._named(call)
        bucket, stock = await asyncio.to_thread(self._buckets.planned, scope, name, directory)
        stored = await self._commit(lambda: self._buckets.set(bucket, stock))
        self._look()
        return Answer(bucket_document(stored))

    async def delete(self, call: Call) -> Answer:
        scope, name = self._named(call)
        await self._commit(lambda: self._buckets.remove(scope, name))
        self._look()
        return Answer({})

    def _named(self, call: Call) -> tuple[Scope, str]:
        return self._where.scope(call.params), call.params["bucket"]


def bucket_document(bucket: Bucket) -> dict[str, Any]:
    return {
        "name": bucket.name,
        "project": bucket.project,
        "region": bucket.region,
        "directory": bucket.directory,
        "createdAt": format_time(bucket.created_at),
    }
