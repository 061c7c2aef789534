"""What every store of subscriptions, event triggers, channels and services promises."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from jobrunner.core.records import Scope
from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.errors import AlreadyExists, Conflict, NotFound, UsageError
from jobrunner.lib.database import connect
from jobrunner.ports import Page
from triggers.core.event_triggers import (
    Channel,
    ChannelState,
    EventFilter,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceAddress,
    ServiceDestination,
    TopicDestination,
    Transport,
    TriggerCondition,
)
from triggers.core.records import Ack, EventRetry, HttpTarget, JobTarget, OidcToken, PushRetry
from triggers.core.subscriptions import (
    AckPolicy,
    Intake,
    Subscription,
    SubscriptionState,
    TokenCheck,
    TokenKeys,
    Wrapping,
)
from triggers.store import Declared, open_declared, open_deliveries

WHERE = Scope("local", "us-central1")
FILTERS = (
    EventFilter("type", "com.example.made"),
    EventFilter("path", "/a/*", "match-path-pattern"),
)


@pytest.fixture
def declared(url: str) -> Iterator[Declared]:
    database = connect(url)
    open_deliveries(database)
    yield open_declared(database)
    database.close()


def a_subscription(name: str = "orders", **fields: Any) -> Subscription:
    values = {"uid": f"uid-of-{name}", "project": "local", "region": "us-central1", "name": name}
    return Subscription(**({"target": HttpTarget("http://127.0.0.1/x")} | values | fields))


def a_trigger(name: str = "made", **fields: Any) -> EventTrigger:
    values = {"uid": f"uid-of-{name}", "project": "local", "region": "us-central1", "name": name}
    others = {"filters": FILTERS, "destination": HttpDestination("http://127.0.0.1/e")}
    return EventTrigger(**(others | values | fields))


def a_channel(name: str = "own", **fields: Any) -> Channel:
    values = {"uid": f"uid-of-{name}", "project": "local", "region": "us-central1", "name": name}
    return Channel(**(values | fields))


Make = Callable[..., Any]
KINDS: list[tuple[str, Make]] = [
    ("subscriptions", a_subscription), ("triggers", a_trigger), ("channels", a_channel),
]  # fmt: skip


@pytest.fixture(params=KINDS, ids=[name for name, _ in KINDS])
def kind(request: pytest.FixtureRequest, declared: Declared) -> tuple[Any, Make]:
    name, make = request.param
    return getattr(declared, name), make


@pytest.mark.parametrize(
    "target",
    [
        HttpTarget("http://x/", "PUT", (("A", "b"),), b"\0\xff", OidcToken("a@b.c", "aud")),
        JobTarget("report", "p", "r", ack=Ack.ON_SUCCESS),
    ],
)
def test_a_subscription_is_read_as_it_was_written(declared: Declared, target: object) -> None:
    whole = a_subscription(
        target=target, topic="projects/p/topics/t", pubsub_subscription="projects/p/subs/s",
        intake=Intake.PULL, accepts=Wrapping.UNWRAPPED, sends=Wrapping.UNWRAPPED_METADATA,
        filter='attributes.ä = "b"', retry=PushRetry(1.0, 2.0, 5, 60.0), ack=AckPolicy.FINISHED,
        ack_deadline=20.0, dead_letter_topic="projects/p/topics/d", ordered=True, exactly_once=True,
        token=TokenCheck(TokenKeys.OURS, "i", "a", "e"), secret_hash="ab", backlog=3,
        labels={"k": "v"}, state=SubscriptionState.PAUSED, created_at=1.5, updated_at=2.5,
        resource_version=7,
    )  # fmt: skip
    declared.subscriptions.create(whole)
    assert declared.subscriptions.find(WHERE, "orders") == whole
    assert declared.subscriptions.get("uid-of-orders") == whole


@pytest.mark.parametrize(
    "destination",
    [
        ServiceDestination("svc", "/p", "r"),
        JobDestination(
            "j", "p", "r",
            Overrides((ContainerOverride(args=("{{x}}",), env=(EnvVar("A", "b"),)),), 3, 60.0),
            Ack.ON_SUCCESS,
        ),
        HttpDestination("http://x/"),
        TopicDestination("projects/p/topics/t"),
    ],
)  # fmt: skip
def test_a_trigger_is_read_as_it_was_written(declared: Declared, destination: object) -> None:
    whole = a_trigger(
        destination=destination, expression="type = 'x'", service_account="a@b.c",
        transport=Transport("t", "s", True), channel="c", content_type="application/protobuf",
        retry=EventRetry(1.0, 2.0, 1, 5, 60.0), dead_letter_topic="d", deadline=30.0,
        labels={"k": "v"}, conditions=(TriggerCondition("service", "NOT_FOUND", "none"),),
        created_at=1.5, updated_at=2.5, resource_version=7,
    )  # fmt: skip
    declared.triggers.create(whole)
    assert declared.triggers.get("uid-of-made") == whole


def test_a_channel_is_read_as_it_was_written(declared: Declared) -> None:
    whole = a_channel(
        provider="p", pubsub_topic="t", state=ChannelState.PENDING, activation_token="a",
        crypto_key="k", labels={"k": "v"}, created_at=1.5, updated_at=2.5, resource_version=7,
    )  # fmt: skip
    declared.channels.create(whole)
    assert declared.channels.find(WHERE, "own") == whole


def test_a_name_is_taken_once_in_a_region(kind: tuple[Any, Make]) -> None:
    store, make = kind
    store.create(make("a"))
    with pytest.raises(AlreadyExists, match="'a' already exists"):
        store.create(make("a", uid="another"))
    store.create(make("a", uid="another", region="europe-west1"))
    assert store.get("another").region == "europe-west1"


def test_kinds_do_not_see_one_another(declared: Declared) -> None:
    declared.subscriptions.create(a_subscription("a", uid="1"))
    declared.triggers.create(a_trigger("a", uid="2"))
    declared.channels.create(a_channel("a", uid="3"))
    with pytest.raises(NotFound):
        declared.channels.get("1")
    declared.channels.delete("1")
    assert [one.uid for one in declared.subscriptions.listing(None)] == ["1"]


def test_what_is_not_there_is_said(kind: tuple[Any, Make]) -> None:
    store, make = kind
    assert store.find(WHERE, "a") is None
    store.delete("uid-of-a")
    with pytest.raises(NotFound, match="any more"):
        store.get("uid-of-a")
    with pytest.raises(NotFound, match="any more"):
        store.put(make("a"), version=1)


def test_a_change_is_made_to_what_was_read_and_to_nothing_newer(kind: tuple[Any, Make]) -> None:
    store, make = kind
    store.create(make("a"))
    changed = make("a", labels={"k": "v"}, resource_version=2)
    store.put(changed, version=1)
    with pytest.raises(Conflict, match="somebody else"):
        store.put(make("a", resource_version=2), version=1)
    assert store.get("uid-of-a") == changed


def test_a_list_goes_by_place_and_page(kind: tuple[Any, Make]) -> None:
    store, make = kind
    for project, region, name in (
        ("p", "r", "b"),
        ("p", "r", "a"),
        ("p", "q", "c"),
        ("o", "r", "a"),
    ):
        uid = f"{project}{region}{name}"
        store.create(make(name, uid=uid, project=project, region=region))
    assert [one.uid for one in store.listing(None)] == ["ora", "pqc", "pra", "prb"]
    assert [one.uid for one in store.listing("p", "r")] == ["pra", "prb"]
    assert [one.uid for one in store.listing("p", page=Page(1, "p/q/c"))] == ["pra"]
    with pytest.raises(UsageError, match="PROJECT/REGION/NAME"):
        store.listing("p", page=Page(1, "p"))


def test_subscriptions_are_found_by_name_alone_and_by_intake(declared: Declared) -> None:
    store = declared.subscriptions
    store.create(a_subscription("a", uid="1", project="q"))
    store.create(a_subscription("a", uid="2", intake=Intake.PULL))
    store.create(a_subscription("b", uid="3"))
    assert [one.uid for one in store.named("a")] == ["2", "1"]
    assert [one.uid for one in store.listing(None, intake=Intake.PULL)] == ["2"]
    store.put(a_subscription("a", uid="2", resource_version=2), version=1)
    assert store.listing(None, intake=Intake.PULL) == []


def test_an_event_awaits_the_triggers_of_its_type_and_channel_and_those_of_patterns(
    declared: Declared,
) -> None:
    store = declared.triggers
    pattern = (EventFilter("type", "com.example.*", "match-path-pattern"),)
    store.create(a_trigger("exact", uid="1"))
    store.create(a_trigger("pattern", uid="2", filters=pattern))
    store.create(a_trigger("other", uid="3", filters=(EventFilter("type", "com.example.gone"),)))
    store.create(a_trigger("channel", uid="4", channel="c"))
    assert [one.uid for one in store.awaiting("com.example.made")] == ["1", "2"]
    assert [one.uid for one in store.awaiting("com.example.made", "c")] == ["4"]
    moved = replace(store.get("3"), filters=FILTERS, resource_version=2)
    store.put(moved, version=1)
    assert [one.uid for one in store.awaiting("com.example.made")] == ["1", "3", "2"]


def test_an_address_is_written_over_and_removed(declared: Declared) -> None:
    book = declared.services
    first = ServiceAddress(*WHERE, "svc", "http://127.0.0.1:1", 1.0)
    second = replace(first, url="http://127.0.0.1:2", updated_at=2.0)
    book.put(first)
    book.put(second)
    book.put(replace(first, name="another"))
    assert book.find(WHERE, "svc") == second
    assert [one.name for one in book.listing("local", page=Page(1))] == ["another"]
    assert (book.delete(WHERE, "svc"), book.delete(WHERE, "svc")) == (True, False)
    assert book.find(WHERE, "svc") is None
