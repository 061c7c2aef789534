"""What a test asks its runner: what was sent where, what ran, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobrunner.client.documents import DocumentClient
from jobrunner.client.remote import Remote
from jobrunner.core.records import Scope
from jobrunner.ports import Page
from jobrunner.testing.expecting import delivery_row, execution_row, expected, matching
from jobrunner.testing.records import Delivery, Execution, delivery_of, execution_of

MOST = 10_000

Document = dict[str, Any]


class Asking:
    """Over the server of a test."""

    def __init__(self, remote: Remote, documents: DocumentClient, scope: Scope) -> None:
        self._remote = remote
        self._documents = documents
        self._scope = scope

    def call(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Document:
        """Any method of the server's API. Raises what that raises."""
        return self._documents.call(verb, path, query=query, body=body)

    def execution(self, name: str) -> Execution:
        """Raises NotFound."""
        executions = self._remote.service.executions
        found = executions.get(self._scope, name)
        return execution_of(found, executions.attempts(found))

    def executions(self, job: str | None = None, *, state: str | None = None) -> list[Execution]:
        """Oldest first."""
        executions = self._remote.service.executions
        found = executions.list(self._scope, job=job, page=Page(MOST))
        all_of_them = [execution_of(one, executions.attempts(one)) for one in reversed(found)]
        return matching(all_of_them, {"state": state})

    def logs(self, execution: Execution | str) -> str:
        """What its attempts wrote so far, by time."""
        from jobrunner.service.logs import LogFilter, Logs

        name = execution if isinstance(execution, str) else execution.name
        found = self._remote.service.executions.get(self._scope, name)
        remote = self._remote
        logs = Logs(remote.store, remote.logs, is_driven=remote.is_driven)
        return "".join(f"{line.text}\n" for line in logs.lines(found, LogFilter()))

    def deliveries(
        self,
        *,
        source: str | None = None,
        name: str | None = None,
        target: str | None = None,
        state: str | None = None,
    ) -> list[Delivery]:
        """Oldest first, with every attempt."""
        path, token = "/jobrunner/v1/deliveries", ""
        uids: list[str] = []
        while True:
            page = self.call("GET", path, query={"pageSize": "1000", "pageToken": token})
            uids += [one["uid"] for one in page["deliveries"]]
            token = page.get("nextPageToken", "")
            if not token:
                break
        found = [delivery_of(self.call("GET", f"{path}/{uid}")) for uid in reversed(uids)]
        return matching(found, {"source": source, "name": name, "target": target, "state": state})

    def expect_deliveries(self, count: int | None = None, **wanted: str | None) -> list[Delivery]:
        """Those that fit (``source``, ``name``, ``target``, ``state``); raises AssertionError that
        shows what there is instead of ``count`` of them, or of at least one."""
        return expected("deliveries", self.deliveries(), wanted, count, delivery_row)

    def expect_executions(self, count: int | None = None, **wanted: Any) -> list[Execution]:
        """As :meth:`expect_deliveries`, by ``job``, ``state``, ``tasks``, ``succeeded``, …"""
        return expected("executions", self.executions(), wanted, count, execution_row)
