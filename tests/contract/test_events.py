"""What comes of events that come in, over every store: deliveries, and a log that is bounded."""

from dataclasses import replace
from typing import Any

import pytest

from jobrunner.core.records import Scope
from jobrunner.core.spec import ContainerOverride, Overrides
from jobrunner.errors import BacklogFull, NotFound
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.database import Database
from tests.support.events import HERE, MADE, a_trigger, an_event, rooms
from triggers.core.event_triggers import EventFilter, JobDestination, ServiceDestination
from triggers.core.records import HttpTarget, SourceKind
from triggers.core.states import DeliveryEvent, DeliveryState
from triggers.event_ports import Led, Logged
from triggers.ports import DeliveryFilter, Move
from triggers.store import open_event_log
from triggers.store.event_log import KEPT_DATA, SqlEventLog

NOW = 1_750_000_000.0


def test_an_event_opens_a_delivery_at_every_trigger_that_wants_it(database: Database) -> None:
    events, declared, deliveries = rooms(database)
    declared.triggers.create(a_trigger("one"))
    declared.triggers.create(a_trigger("two"))
    declared.triggers.create(
        a_trigger("blue", filters=(EventFilter("type", MADE), EventFilter("colour", "blue")))
    )
    published = events.publish([an_event()], scope=HERE, now=NOW)
    assert [led.trigger for led in published.entries[0].led] == ["one", "two"]
    assert published.opened == 2
    found = deliveries.listing(DeliveryFilter(source=SourceKind.EVENT_TRIGGER), oldest_first=True)
    assert [one.source_name for one in found] == ["one", "two"]


def test_the_same_event_is_delivered_once_however_often_it_comes(database: Database) -> None:
    events, declared, deliveries = rooms(database)
    declared.triggers.create(a_trigger())
    first = events.publish([an_event(), an_event()], scope=HERE, now=NOW)
    second = events.publish([an_event()], scope=HERE, now=NOW + 9)
    assert (first.opened, second.opened) == (1, 0)
    [led] = second.entries[0].led
    assert led.again
    assert led.delivery == deliveries.listing(DeliveryFilter())[0].uid


def test_senders_who_can_wait_are_refused_while_a_trigger_has_as_much_as_may_wait(
    database: Database,
) -> None:
    machine = FakeClock(NOW)
    events, declared, deliveries = rooms(database, machine=machine)
    declared.triggers.create(a_trigger("full", backlog=2))
    declared.triggers.create(a_trigger("roomy"))
    events.publish([an_event("1"), an_event("2")], scope=HERE, now=NOW, bounded=True)
    with pytest.raises(BacklogFull, match="'full' has 2 events waiting"):
        events.publish([an_event("3")], scope=HERE, now=NOW, bounded=True)
    assert sum(deliveries.count(DeliveryFilter()).values()) == 4
    other = [an_event("4", "com.example.other")]
    assert events.publish(other, scope=HERE, now=NOW, bounded=True).opened == 0
    # What nobody would send again is taken.
    assert events.publish([an_event("5")], scope=HERE, now=NOW).opened == 2

    for one in deliveries.listing(DeliveryFilter(source_name="full")):
        gone = replace(one, state=DeliveryState.CANCELLED, settled_at=NOW)
        assert deliveries.record([Move(one, DeliveryEvent.WITHDRAWN, gone)]) == [True]
    machine.advance(1.0)
    assert events.publish([an_event("3")], scope=HERE, now=NOW, bounded=True).opened == 2


def test_what_comes_while_there_is_room_is_taken_whole(database: Database) -> None:
    events, declared, _ = rooms(database)
    declared.triggers.create(a_trigger(backlog=2))
    three = [an_event(id) for id in "123"]
    assert events.publish(three, scope=HERE, now=NOW, bounded=True).opened == 3


def test_events_of_one_project_are_not_seen_by_another(database: Database) -> None:
    events, declared, _ = rooms(database)
    declared.triggers.create(a_trigger())
    assert events.publish([an_event()], scope=Scope("other", "us-central1"), now=NOW).opened == 0
    assert events.publish([an_event()], scope=Scope("local", "europe-west1"), now=NOW).opened == 1


def test_events_of_a_channel_go_to_triggers_of_that_channel_only(database: Database) -> None:
    events, declared, _ = rooms(database)
    channel = "projects/local/locations/us-central1/channels/own"
    declared.triggers.create(a_trigger("plain"))
    declared.triggers.create(a_trigger("own", channel=channel))
    [entry] = events.publish([an_event()], scope=HERE, channel=channel, now=NOW).entries
    assert [led.trigger for led in entry.led] == ["own"]
    [entry] = events.publish([an_event("2")], scope=HERE, now=NOW).entries
    assert [led.trigger for led in entry.led] == ["plain"]


def test_what_eight_events_of_ours_led_to_goes_on_and_what_nine_led_to_does_not(
    database: Database,
) -> None:
    events, declared, _ = rooms(database)
    declared.triggers.create(a_trigger())
    assert events.publish([an_event("8").with_hops(8)], scope=HERE, now=NOW).opened == 1
    assert events.publish([an_event("9").with_hops(9)], scope=HERE, now=NOW).opened == 0


def test_what_a_template_lacks_is_said_in_the_log_and_others_get_the_event(
    database: Database,
) -> None:
    events, declared, _ = rooms(database)
    asks = Overrides((ContainerOverride(args=("{{ data.b }}",)),))
    declared.triggers.create(a_trigger("asks", destination=JobDestination("j", overrides=asks)))
    declared.triggers.create(a_trigger("takes"))
    [entry] = events.publish([an_event()], scope=HERE, now=NOW).entries
    asking, taking = entry.led
    assert "has no 'b'" in asking.problem
    assert not asking.delivery
    assert taking.delivery


def test_a_trigger_that_breaks_a_rule_keeps_the_event_from_no_other(database: Database) -> None:
    events, declared, _ = rooms(database)
    declared.triggers.create(a_trigger("broken", expression="((("))
    declared.triggers.create(a_trigger("whole"))
    [entry] = events.publish([an_event()], scope=HERE, now=NOW).entries
    broken, whole = entry.led
    assert (broken.trigger, broken.delivery) == ("broken", "")
    assert broken.problem
    assert (whole.trigger, whole.problem) == ("whole", "")


def test_a_service_is_looked_up_when_it_is_called(database: Database) -> None:
    events, declared, deliveries = rooms(database)
    declared.triggers.create(a_trigger(destination=ServiceDestination("shop", "/e")))
    events.publish([an_event()], scope=HERE, now=NOW)
    target = deliveries.listing(DeliveryFilter())[0].target
    assert isinstance(target, HttpTarget)
    assert target.url == (
        "http://shop.us-central1.local.service.invalid/e?__GCP_CloudEventsMode=CE_PUBSUB_BINDING"
    )


def test_whether_anybody_waits_is_known_beforehand(database: Database) -> None:
    events, declared, _ = rooms(database)
    assert not events.awaited(MADE)
    declared.triggers.create(a_trigger())
    assert events.awaited(MADE)
    assert not events.awaited("com.example.other")


def an_entry(event_id: str, **fields: Any) -> Logged:
    return Logged(NOW, HERE, "", an_event(event_id, **fields), (Led(*HERE, "made", "d-1"),), 7)


def test_the_log_gives_back_what_came_in_its_order(database: Database) -> None:
    kept = open_event_log(database)
    positions = kept.append([an_entry("1"), an_entry("2")])
    [first, second] = kept.listing()
    assert (first.position, second.position) == tuple(positions)
    assert positions[0] < positions[1]
    assert first.event == an_event("1")
    assert first.led == (Led(*HERE, "made", "d-1"),)
    assert kept.get(positions[1]) == second
    assert kept.listing(after=positions[0]) == [second]
    assert kept.listing(limit=1) == [second]
    assert kept.listing("other") == []
    assert kept.listing(event_type="x") == []


def test_the_log_keeps_so_many_and_no_more(database: Database) -> None:
    kept = SqlEventLog(database, kept=3)
    positions = [*kept.append([an_entry("0")]), *kept.append([an_entry(str(n)) for n in range(5)])]
    assert [one.event.id for one in kept.listing()] == ["2", "3", "4"]
    with pytest.raises(NotFound, match="no event"):
        kept.get(positions[0])


def test_the_log_keeps_the_attributes_of_a_large_event(database: Database) -> None:
    kept = open_event_log(database)
    large = b'"' + b"a" * KEPT_DATA + b'"'
    [position] = kept.append([an_entry("1", data=large)])
    found = kept.get(position)
    assert (found.event.id, found.event.data, found.size) == ("1", b"", len(large))


def test_the_log_keeps_json_that_others_cannot_read(database: Database) -> None:
    kept = open_event_log(database)
    [position] = kept.append([an_entry("1", data=b'{"a":"\\ud800"}')])
    assert kept.get(position).event.data == b'{"a":"\\ud800"}'
