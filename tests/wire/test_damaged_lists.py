"""One row that cannot be read breaks no page of Google's lists, over REST and gRPC."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import eventarc_v1 as eventarc
from google.cloud import scheduler_v1 as scheduler
from google.cloud import tasks_v2 as tasks

from tests.wire.running import Running, serving

PARENT = "projects/local/locations/us-central1"
QUEUE = f"{PARENT}/queues/bad"
NOWHERE = "http://127.0.0.1:9/x"
MADE: list[tuple[str, dict[str, Any]]] = [
    ("/v1/{parent}/jobs", {"schedule": "0 0 1 1 *", "httpTarget": {"uri": NOWHERE}}),
    ("/v2/{parent}/queues", {}),
    (
        "/v1/{parent}/triggers?triggerId={id}",
        {
            "eventFilters": [{"attribute": "type", "value": "a.b"}],
            "destination": {"httpEndpoint": {"uri": NOWHERE}},
        },
    ),
    ("/v1/{parent}/channels?channelId={id}", {}),
]


class Stage(NamedTuple):
    server: Running
    database: Path

    def post(self, path: str, body: object) -> None:
        urllib.request.urlopen(
            urllib.request.Request(
                self.server.url + path,
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            )
        ).close()

    def run(self, sql: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.database, timeout=30)) as connection, connection:
            return connection.execute(sql, values).fetchall()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("damaged") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBRUNNER_HOME", str(home))
        patch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
        with serving(home, grpc=True) as server:
            made = Stage(server, home / "jobrunner.db")
            for id in ("bad", "good"):
                for path, body in MADE:
                    place = path.format(parent=PARENT, id=id)
                    named = {"name": f"{PARENT}/{place.partition('?')[0].rpartition('/')[2]}/{id}"}
                    made.post(place, {**named, **body})
            made.post(f"/v2/{QUEUE}:pause", {})
            for id in ("bad", "good"):
                task = {"name": f"{QUEUE}/tasks/{id}", "httpRequest": {"url": NOWHERE}}
                made.post(f"/v2/{QUEUE}/tasks", {"task": task})
            yield made


def client(stage: Stage, transport: str, kind: Any) -> Any:
    if transport == "grpc":
        channel = grpc.insecure_channel(f"127.0.0.1:{stage.server.grpc_port}")
        return kind(transport=kind.get_transport_class("grpc")(channel=channel))
    return kind(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": stage.server.url},
    )


LISTS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "schedules": (scheduler.CloudSchedulerClient, lambda one: one.list_jobs(parent=PARENT)),
    "queues": (tasks.CloudTasksClient, lambda one: one.list_queues(parent=PARENT)),
    "deliveries": (tasks.CloudTasksClient, lambda one: one.list_tasks(parent=QUEUE)),
    "triggers": (eventarc.EventarcClient, lambda one: one.list_triggers(parent=PARENT)),
    "channels": (eventarc.EventarcClient, lambda one: one.list_channels(parent=PARENT)),
}


@pytest.mark.parametrize("transport", ["rest", "grpc"])
@pytest.mark.parametrize(
    ("what", "column", "text"),
    [
        ("schedules", "settings", "{"),
        ("schedules", "target", "{}"),
        ("schedules", "state", "SLEEPING"),
        ("queues", "settings", "{"),
        ("deliveries", "target", "{"),
        ("deliveries", "retry", ""),
        ("deliveries", "state", "SLEEPING"),
        ("deliveries", "created_at", "x"),
        ("deliveries", "attempts", "x"),
        ("triggers", "document", "{}"),
        ("channels", "document", "["),
    ],
)
def test_a_page_shows_the_others(
    stage: Stage, transport: str, what: str, column: str, text: str
) -> None:
    table = what if what in ("schedules", "queues", "deliveries") else "resources"
    where = {
        "deliveries": "key LIKE '%/bad'",
        "triggers": "name = 'bad' AND kind = (SELECT MAX(kind) FROM resources)",
        "channels": "name = 'bad' AND kind = (SELECT MIN(kind) FROM resources)",
    }.get(what, "name = 'bad'")
    [(before,)] = stage.run(f"SELECT {column} FROM {table} WHERE {where}")
    stage.run(f"UPDATE {table} SET {column} = ? WHERE {where}", text)
    try:
        kind, listed = LISTS[what]
        pager = listed(client(stage, transport, kind))
        found = {one.name.rpartition("/")[2] for one in pager}
        # Eventarc has a place of its own for what cannot be read.
        if table == "resources":
            assert [name.rpartition("/")[2] for name in pager.unreachable] == ["bad"]
            assert found == {"good"}
        else:
            assert found == {"bad", "good"}
    finally:
        stage.run(f"UPDATE {table} SET {column} = ? WHERE {where}", before)


def test_a_damaged_operation_has_ended_and_nobody_knows_how(stage: Stage) -> None:
    [(id, before), *_] = stage.run("SELECT id, document FROM operations")
    stage.run("UPDATE operations SET document = '[' WHERE id = ?", id)
    try:
        listed = client(stage, "rest", eventarc.EventarcClient).list_operations({"name": PARENT})
        [damaged] = [one for one in listed.operations if one.name.endswith(id)]
        assert (damaged.done, damaged.error.code) == (True, 15)
        assert len(listed.operations) == 4
    finally:
        stage.run("UPDATE operations SET document = ? WHERE id = ?", before, id)
