"""The command line of event triggers beside a server that is older than itself."""

from triggers.api.events.writing import trigger_document
from triggers.cli.event_triggers import settings
from triggers.cli.event_views import trigger_text
from triggers.core.event_triggers import EventFilter, EventTrigger, HttpDestination


def test_what_an_older_server_does_not_know_is_left_out() -> None:
    trigger = EventTrigger(
        "uid", "p", "r", "made", (EventFilter("type", "a.b"),), HttpDestination("http://x")
    )
    answer = trigger_document(trigger)
    assert settings(answer)["backlog"] == 10_000
    del answer["backlog"]
    assert "backlog" not in settings(answer)
    assert "Backlog" not in trigger_text(answer)
