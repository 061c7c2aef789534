"""``/jobrunner/v1/services``: names of services, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.documents import Node
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec
from jobrunner.ports import Commit
from triggers.api.events.writing import service_document
from triggers.api.own import PAGE, PLACE, Where, body_of, page
from triggers.service.services import Services

PATH = "/jobrunner/v1/services"
ONE = f"{PATH}/{{service}}"


def service_methods(
    services: Services, where: Where, commit: Commit, look: Callable[[], None]
) -> Sequence[Method]:
    """``look`` tells the dispatcher that what it looks up may be another."""
    table = _Table(services, where, commit, look)
    return [
        Method(
            "jobrunner.services.list", "GET", PATH, table.list, Role.VIEWER,
            query=(*PLACE, *PAGE), summary="Lists services by name",
        ),
        Method(
            "jobrunner.services.get", "GET", ONE, table.get, Role.VIEWER, query=PLACE,
            summary="Shows where a service is",
        ),
        Method(
            "jobrunner.services.set", "PUT", ONE, table.set, Role.ADMIN, changes=True, query=PLACE,
            summary="Says where a service is",
        ),
        Method(
            "jobrunner.services.delete", "DELETE", ONE, table.delete, Role.ADMIN, changes=True,
            query=PLACE, summary="Forgets a service",
        ),
    ]  # fmt: skip


class _Table:
    def __init__(
        self, services: Services, where: Where, commit: Commit, look: Callable[[], None]
    ) -> None:
        self._services = services
        self._where = where
        self._commit = commit
        self._look = look

    async def list(self, call: Call) -> Answer:
        scope = self._where.scope(call.params)

        return Answer(page(call, "services", scope, self._services.survey, service_document))

    async def get(self, call: Call) -> Answer:
        return Answer(service_document(self._services.get(*self._named(call))))

    async def set(self, call: Call) -> Answer:
        problems = Problems()
        node = Node(body_of(call), "", problems)
        node.skip("name", "updatedAt", *PLACE)
        url = node.text("url")
        node.end()
        if problems.violations:
            raise InvalidSpec(problems.violations)
        scope, name = self._named(call)
        address = await self._commit(lambda: self._services.set(scope, name, url))
        self._look()
        return Answer(service_document(address))

    async def delete(self, call: Call) -> Answer:
        scope, name = self._named(call)
        await self._commit(lambda: self._services.remove(scope, name))
        return Answer({})

    def _named(self, call: Call) -> tuple[Scope, str]:
        return self._where.scope(call.params), call.params["service"]
