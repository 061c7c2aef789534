"""What every store of IAM policies promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobrunner.core.records import NO_POLICY_ETAG, Policy
from jobrunner.errors import Conflict, InvalidSpec
from jobrunner.lib.database import Database, connect
from jobrunner.lib.ids import CountedIds
from tests.support.queues import HERE, QueueBench
from triggers.core.event_triggers import Channel, EventFilter, EventTrigger, HttpDestination
from triggers.ports import PolicyStore
from triggers.service.policies import Policies
from triggers.store import open_declared, open_deliveries, open_policies

ONE = Policy('{"bindings":[]}', "AQ==", 1)
TWO = Policy('{"bindings":[{"role":"roles/x","members":["user:é@example.com"]}]}', "Ag==", 3)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> PolicyStore:
    open_deliveries(database)
    return open_policies(database)


def test_a_policy_is_read_as_it_was_stored_and_belongs_to_its_owner(store: PolicyStore) -> None:
    assert store.get("a") is None
    store.put("a", ONE, expect_etag=NO_POLICY_ETAG)
    store.put("b", TWO, expect_etag=NO_POLICY_ETAG)
    assert (store.get("a"), store.get("b")) == (ONE, TWO)
    store.put("a", TWO, expect_etag=ONE.etag)
    assert store.get("a") == TWO
    store.delete("a")
    store.delete("a")
    assert (store.get("a"), store.get("b")) == (None, TWO)


def test_who_has_read_another_policy_changes_nothing(store: PolicyStore) -> None:
    with pytest.raises(Conflict):
        store.put("a", ONE, expect_etag="AQ==")
    store.put("a", ONE, expect_etag=NO_POLICY_ETAG)
    for stale in (NO_POLICY_ETAG, TWO.etag):
        with pytest.raises(Conflict):
            store.put("a", TWO, expect_etag=stale)
    assert store.get("a") == ONE


def test_each_change_has_a_new_etag_and_a_stale_one_is_refused(store: PolicyStore) -> None:
    policies = Policies(store, CountedIds())
    first = policies.set("a", "q", {"policy": {"etag": NO_POLICY_ETAG}})
    second = policies.set("a", "q", {"policy": {"etag": first.etag}})
    assert first.etag != second.etag
    with pytest.raises(Conflict, match=r"policy of 'q'.*the current one is"):
        policies.set("a", "q", {"policy": {"etag": first.etag}})
    with pytest.raises(InvalidSpec, match=r"policy\.bindings\[0\]\.role"):
        policies.set("a", "q", {"policy": {"bindings": [{"role": "owner"}]}})
    assert policies.get("a") == second


def test_the_policy_of_a_queue_goes_with_it(database: Database) -> None:
    bench = QueueBench(database)
    store = open_policies(database)
    queue = bench.create("mail")
    store.put(queue.uid, ONE, expect_etag=NO_POLICY_ETAG)
    bench.queues.delete(HERE, "mail")
    assert store.get(queue.uid) is None


def test_the_policies_of_triggers_and_channels_go_with_them(
    database: Database, store: PolicyStore
) -> None:
    declared = open_declared(database)
    where = ("local", "us-central1", "audited")
    trigger = EventTrigger(
        "uid-of-trigger",
        *where,
        (EventFilter("type", "a.b"),),
        HttpDestination("http://127.0.0.1/"),
    )
    channel = Channel("uid-of-channel", *where)
    declared.triggers.create(trigger)
    declared.channels.create(channel)
    for one in (trigger, channel):
        store.put(one.uid, ONE, expect_etag=NO_POLICY_ETAG)
    declared.triggers.delete(trigger.uid)
    assert (store.get(trigger.uid), store.get(channel.uid)) == (None, ONE)
    declared.channels.delete(channel.uid)
    assert store.get(channel.uid) is None
