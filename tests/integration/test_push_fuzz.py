"""Whatever is pushed: no 5xx, what is acknowledged is stored, and nothing else is."""

from pathlib import Path

from tests.support.push_fuzz import campaign
from tests.support.served import served

REQUESTS = 3000


def test_no_push_breaks_the_server_and_what_is_acknowledged_is_stored(home: Path) -> None:
    with served(home, env={"JOBRUNNER_DELIVERIES": "1"}) as server:
        found = campaign(server, REQUESTS, seed=20_260_102)
        assert found.wrong == []
        assert "Traceback" not in server.said()
    assert sum(found.codes.values()) == REQUESTS
    # Of each kind there were enough for this to say something.
    assert min(found.codes[code] for code in (204, 400, 401, 404)) > 20
