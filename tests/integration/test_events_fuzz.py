"""Whatever comes to the ingress of events: no 5xx, and all of a request or nothing of it."""

from pathlib import Path

from tests.support.ingress_fuzz import campaign
from tests.support.served import served

REQUESTS = 3000


def test_no_event_breaks_the_server_and_none_is_taken_by_half(home: Path) -> None:
    with served(home) as server:
        found = campaign(server, REQUESTS, seed=20_260_101)
        assert found.wrong == []
        assert "Traceback" not in server.said()
    assert sum(found.codes.values()) == REQUESTS
    # Of each kind there were enough for this to say something.
    assert min(found.codes[code] for code in (202, 204, 400, 413, 415)) > 20
