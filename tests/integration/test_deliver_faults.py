"""A server is killed or frozen while it delivers: nothing is lost, and what came twice was on the
wire when its server went, and is counted.

Every named crash point once and ten seeded random moments; the full campaign is ``make faults``,
its result stands in docs/explain/recovery.md.
"""

import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_deliver import PATH
from tests.support.delivery_faults import (
    LOADED,
    SENDS,
    DeliveryPlan,
    at_point,
    run_delivery_round,
)
from tests.support.fixtures import free_port
from tests.support.receiver import Receiver, receiving
from tests.support.served import Served, answering, start
from tests.support.waiting import PATIENCE, until
from triggers.service.crashpoints import POINTS

DICE = random.Random(45)
MOMENTS = [round(DICE.uniform(0.05, LOADED), 3) for _ in range(10)]
COUNT = 120
SETTINGS = {"JOBRUNNER_DELIVERIES_PER_TARGET": "24"}


def open_all(port: int, url: str, place: dict[str, Served], over: threading.Event) -> None:
    """Opens each of them once by its key, however often the server goes away meanwhile."""
    for number in range(COUNT):
        body = {
            "key": f"k{number}",
            "http": {"url": f"{url}/{number}"},
            "retry": {"retryCount": 5, "minBackoff": "0.05s", "maxBackoff": "0.2s"},
            "orderKey": f"order{number % 7}" if number % 3 == 0 else "",
        }
        while not over.is_set():
            try:
                place["now"].call("POST", PATH, body, timeout=5)
                break
            except (OSError, ValueError):
                time.sleep(0.02)


def everything(server: Served) -> list[Any]:
    found: list[Any] = server.call("GET", f"{PATH}?pageSize=1000")["deliveries"]
    return found


def answers(seed: int) -> Any:
    """Every fourth is refused once; each takes its time."""
    chance = random.Random(seed)

    def answer(path: str, count: int) -> int:
        time.sleep(chance.choice([0.0, 0.01, 0.05, 0.2]))
        return 500 if int(path[1:]) % 4 == 0 and count == 1 else 200

    return answer


def check(receiver: Receiver, found: list[Any]) -> int:
    """Returns how many calls came more often than they were answered on record."""
    assert len(found) == COUNT
    assert {one["state"] for one in found} == {"DELIVERED"}
    doubled = 0
    for one in found:
        path = f"/{one['key'][1:]}"
        unknown = one.get("unknownEnds", 0)
        began = receiver.began[path]
        assert one["attempts"] <= began <= one["attempts"] + unknown, one
        doubled += began - one["attempts"]
    for order in range(7):
        keyed = [f"/{n}" for n in range(COUNT) if n % 3 == 0 and n % 7 == order]
        firsts = [path for path in dict.fromkeys(receiver.order) if path in keyed]
        assert firsts == keyed, "one key overtook itself"
    return doubled


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_random_moments_loses_nothing_and_counts_what_came_twice(
    home: Path, seed: int
) -> None:
    chance = random.Random(seed)
    port, over = free_port(), threading.Event()
    with receiving() as receiver:
        receiver.answer = answers(seed)
        place = {"now": start(home, port=port, env=SETTINGS)}
        opener = threading.Thread(
            target=open_all, args=(port, receiver.url, place, over), daemon=True
        )
        try:
            assert answering(place["now"]), place["now"].said()
            opener.start()
            for _ in range(5):
                time.sleep(chance.uniform(0.05, 0.6))
                place["now"].process.kill()
                place["now"].process.wait()
                place["now"] = start(home, port=port, env=SETTINGS)
                assert answering(place["now"]), place["now"].said()
            opener.join(PATIENCE)
            assert not opener.is_alive()
            server = place["now"]

            def settled() -> bool:
                return all(one["state"] == "DELIVERED" for one in everything(server))

            until(settled, why=lambda: server.call("GET", f"{PATH}:count"))
            check(receiver, everything(server))
            assert "Traceback" not in server.said()
        finally:
            over.set()
            place["now"].process.kill()
            place["now"].process.wait()


def kept(plan: DeliveryPlan) -> None:
    report = run_delivery_round(plan)
    assert report.problems == []
    assert report.killed


@pytest.mark.parametrize("point", POINTS)
def test_a_server_killed_at_a_crash_point_delivers_all_and_records_each_once(point: str) -> None:
    kept(at_point(point, 100 if point in SENDS else 2))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_server_killed_at_any_moment_delivers_all_and_records_each_once(moment: float) -> None:
    kept(DeliveryPlan(after=moment, seed=int(moment * 1000)))


def test_a_frozen_server_is_replaced_and_does_no_harm_when_it_wakes(
    fresh_postgres_url: str,
) -> None:
    kept(DeliveryPlan(after=0.4, seed=5, freeze=True, database_url=fresh_postgres_url))


def test_a_server_that_is_stopped_leaves_what_was_on_the_wire_to_the_next_at_once(
    home: Path,
) -> None:
    with receiving() as receiver:
        gate = threading.Event()
        receiver.answer = lambda path, count: 200 if gate.wait(PATIENCE) else 500
        server = start(home)
        try:
            assert answering(server), server.said()
            body = {"http": {"url": f"{receiver.url}/x"}}
            uid = server.call("POST", PATH, body)["uid"]
            until(lambda: receiver.began["/x"] == 1)
            assert server.stop(signal.SIGTERM) < 10
            assert "Traceback" not in server.said()
            gate.set()
            server = start(home)
            assert answering(server), server.said()
            began = time.monotonic()
            until(lambda: server.call("GET", f"{PATH}/{uid}")["state"] == "DELIVERED")
            assert time.monotonic() - began < 12, "the lease was waited for"
            found = server.call("GET", f"{PATH}/{uid}")
            assert (found["unknownEnds"], found["attempts"]) == (1, 1)
            assert [one["ruling"] for one in found["attemptLog"]] == ["unknown", "accept"]
        finally:
            server.process.kill()
            server.process.wait()
