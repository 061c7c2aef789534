"""A subscription that pulls, on PostgreSQL: Google's emulator, a real server, a real service."""

from __future__ import annotations

from pathlib import Path

from tests.support.components import require
from tests.support.pubsub import pubsub_emulator
from tests.support.pulling import Publisher, a_sink, topic
from tests.support.served import served
from tests.support.waiting import until


def test_messages_are_pulled_and_told_of_when_they_are_durable_or_finished(
    home: Path, tmp_path: Path, fresh_postgres_url: str
) -> None:
    require("pubsub")
    with pubsub_emulator(tmp_path) as emulator, a_sink() as sink:
        env = {"JOBRUNNER_DATABASE_URL": fresh_postgres_url, "PUBSUB_EMULATOR_HOST": emulator.host}
        with served(home, "--backend", "process", env=env) as server:
            sink.answers["/finished"] = lambda data, count: 200 if count == 2 else 503
            sent = [f"message-{number}" for number in range(40)]
            for ack in ("durable", "finished"):
                body = {
                    "name": ack,
                    "topic": topic(ack),
                    "intake": "pull",
                    "acknowledge": ack,
                    "retryPolicy": {"minimumBackoff": "0.1s", "maximumBackoff": "0.2s"},
                    "httpTarget": {"uri": f"{sink.url}/{ack}"},
                }
                server.call("POST", "/jobrunner/v1/subscriptions", body)
                names = [f"{ack}-{one}" for one in sent]
                Publisher(emulator.host).send(ack, names)
                until(
                    lambda ack=ack, names=names: sorted(sink.at(ack)) == sorted(names),
                    why=server.said,
                )
            path = "/jobrunner/v1/deliveries:count?sourceName="
            until(lambda: server.call("GET", f"{path}durable")["total"] == 40)
            until(lambda: server.call("GET", f"{path}finished")["total"] == 80)
            assert emulator.pull("finished", patience=1.0) == []
            assert "Traceback" not in server.said()
