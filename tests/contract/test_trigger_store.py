"""What every store of deliveries promises."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.errors import AlreadyExists, NotFound, UsageError
from jobrunner.lib.database import Database, connect
from jobrunner.ports import Page
from jobrunner.store import open_store
from jobrunner.store.sql import SqlStore
from tests.support.deliveries import NOW, TTL, a_delivery, an_attempt, moved, settle
from tests.support.stores import a_job
from triggers.core.records import (
    Ack,
    Break,
    Delivery,
    EventRetry,
    HttpTarget,
    JobTarget,
    ManualRetry,
    OAuthToken,
    OidcToken,
    Payload,
    PubsubTarget,
    PushRetry,
    QueueRetry,
    ScheduleRetry,
    SourceKind,
)
from triggers.core.states import DeliveryEvent as Event
from triggers.core.states import DeliveryState as State
from triggers.errors import IllegalTransition
from triggers.ports import Claims, DeliveryFilter, DeliveryStore, Move
from triggers.store import open_deliveries


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()


@pytest.fixture
def deliveries(database: Database) -> DeliveryStore:
    return open_deliveries(database)


@pytest.fixture
def another(shared_url: str) -> Iterator[Callable[[], DeliveryStore]]:
    opened: list[Database] = []

    def one_more() -> DeliveryStore:
        opened.append(connect(shared_url))
        return open_deliveries(opened[-1])

    yield one_more
    for one in opened:
        one.close()


def claim(
    store: DeliveryStore,
    *,
    owner: str = "runner",
    now: float = NOW,
    most: int = 10,
    per_place: int = 100,
    busy: dict[str, int] | None = None,
) -> Claims:
    return store.claim(owner, now=now, ttl=TTL, most=most, per_place=per_place, busy=busy or {})


def taken(store: DeliveryStore, **options: object) -> list[str]:
    return [one.uid for one in claim(store, **options).taken]  # type: ignore[arg-type]


# ---------------------------------------------------------------- open and read


TARGETS = [
    HttpTarget(
        "https://x.example.com:8443/a?b=c",
        method="PUT",
        headers=(("A", "1"), ("B", "ü")),
        body=b"\x00\xff",
        token=OidcToken("me@example.com", "aud"),
        deadline=30.0,
        follow_redirects=False,
        verify_tls=False,
        proxy="http://proxy:3128",
    ),
    HttpTarget("http://x.example.com", token=OAuthToken("me@example.com")),
    JobTarget(
        "job",
        overrides=Overrides((ContainerOverride(env=(EnvVar("A", "b"),)),), task_count=3),
        ack=Ack.ON_SUCCESS,
    ),
    PubsubTarget("projects/p/topics/t", b"data", (("k", "v"),)),
]
POLICIES = [
    ScheduleRetry(retry_count=2),
    QueueRetry(max_attempts=-1),
    PushRetry(min_backoff=10.0, max_delivery_attempts=5),
    EventRetry(max_attempts=1),
    ManualRetry(retry_count=None, max_retry_duration=60.0),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: type(target).__name__)
@pytest.mark.parametrize("retry", POLICIES, ids=lambda retry: type(retry).__name__)
def test_what_was_opened_is_read_as_it_was(
    deliveries: DeliveryStore, target: object, retry: object
) -> None:
    one = a_delivery(
        target=target,
        retry=retry,
        source=SourceKind.QUEUE,
        payload=Payload(b"\x00body", (("X-A", "b"),)),
        order_key="k",
        run_try=2,
        parent="p",
        hops=3,
        reason="why",
    )
    assert deliveries.open(one) == one
    assert deliveries.get(one.uid) == one


def test_a_delivery_is_opened_once_for_its_source_and_key(deliveries: DeliveryStore) -> None:
    first = deliveries.open(a_delivery("k"))
    again = deliveries.open(replace(a_delivery("k"), uid="other", not_before=NOW + 9))
    assert again == first
    for other in (
        {"source_name": "other"},
        {"source": SourceKind.QUEUE},
        {"region": "elsewhere"},
        {"project": "p2"},
    ):
        uid = "-".join(map(str, other.values()))
        assert deliveries.open(replace(a_delivery("k"), uid=uid, **other)).uid == uid
    assert sum(deliveries.count(DeliveryFilter()).values()) == 5


def test_many_are_opened_at_once_and_none_where_one_is_there(deliveries: DeliveryStore) -> None:
    many = [a_delivery(str(number), source_name=f"s{number % 2}") for number in range(5)]
    deliveries.open_all([deliveries.draft(one) for one in many], NOW + 7)
    later = [replace(one, created_at=NOW + 7, not_before=NOW + 7) for one in many]
    assert [deliveries.get(one.uid) for one in many] == later
    again = [a_delivery("new"), a_delivery("0", source_name="s0", uid="other")]
    with pytest.raises(AlreadyExists):
        deliveries.open_all([deliveries.draft(one) for one in again], NOW)
    with pytest.raises(NotFound):
        deliveries.get(a_delivery("new").uid)
    with pytest.raises(ValueError, match="order key"):
        deliveries.draft(a_delivery("keyed", order_key="k"))
    with pytest.raises(ValueError, match="as new ones are"):
        deliveries.draft(replace(a_delivery("tried"), attempts=1))


def test_each_of_many_is_opened_as_if_it_had_come_alone(deliveries: DeliveryStore) -> None:
    there = deliveries.open(a_delivery("there"))
    letter = deliveries.open(replace(a_delivery("letter"), parent="p"))
    wanted = [
        a_delivery("a"),
        replace(a_delivery("there"), uid="again"),
        a_delivery("q", source=SourceKind.QUEUE),
        a_delivery("k1", order_key="k"),
        a_delivery("k2", order_key="k"),
        replace(a_delivery("a"), uid="twin"),
        replace(a_delivery("other"), uid="replay", parent="p"),
        a_delivery("z"),
    ]
    first, again, queued, one, two, twin, replay, last = deliveries.open_each(wanted)
    assert [first, queued, one, two, last] == [wanted[at] for at in (0, 2, 3, 4, 7)]
    assert (again, twin, replay) == (there, first, letter)
    opened = deliveries.listing(DeliveryFilter(), oldest_first=True)
    assert [delivery.key for delivery in opened] == [
        "there", "letter", "a", "q", "k1", "k2", "z",
    ]  # fmt: skip
    assert deliveries.open_each([]) == []


def test_two_processes_that_open_the_same_get_the_same(
    another: Callable[[], DeliveryStore],
) -> None:
    one, other = another(), another()
    first = one.open(a_delivery("k"))
    assert other.open(replace(a_delivery("k"), uid="other")) == first


def test_a_letter_is_replayed_once_whatever_the_key(deliveries: DeliveryStore) -> None:
    first = deliveries.open(replace(a_delivery("a"), parent="letter"))
    assert deliveries.open(replace(a_delivery("b"), parent="letter")) == first
    assert deliveries.replay_of("letter") == first
    assert deliveries.replay_of("other") is None


def test_what_is_not_there_is_not_found(deliveries: DeliveryStore) -> None:
    with pytest.raises(NotFound, match="no delivery 'x'"):
        deliveries.get("x")
    assert deliveries.attempts("x") == []


def test_a_delivery_and_a_job_are_stored_together_or_not_at_all(url: str) -> None:
    store = open_store(url)
    assert isinstance(store, SqlStore)
    deliveries = open_deliveries(store.database)

    def both() -> None:
        store.create_job(a_job())
        deliveries.open(a_delivery())

    def broken() -> None:
        both()
        raise RuntimeError("no")

    (answer,) = store.group([broken])
    assert isinstance(answer, RuntimeError)
    assert deliveries.count(DeliveryFilter()) == {}
    assert store.list_jobs(None) == []
    store.group([both, lambda: deliveries.open(a_delivery("2"))])
    assert deliveries.count(DeliveryFilter()) == {State.PENDING: 2}
    assert len(store.list_jobs(None)) == 1
    store.close()


# ---------------------------------------------------------------- lists


def test_lists_come_newest_first_by_pages_and_filtered(deliveries: DeliveryStore) -> None:
    for number in range(6):
        deliveries.open(
            a_delivery(
                str(number),
                source_name="even" if number % 2 == 0 else "odd",
                target=HttpTarget(f"http://h{number % 3}.example.com/"),
                created_at=NOW + number,
            )
        )
    everything = deliveries.listing(DeliveryFilter())
    assert [one.key for one in everything] == ["5", "4", "3", "2", "1", "0"]
    first = deliveries.listing(DeliveryFilter(), page=Page(limit=4))
    rest = deliveries.listing(DeliveryFilter(), page=Page(limit=4, after=first[-1].uid))
    assert [*first, *rest] == everything
    forward = deliveries.listing(DeliveryFilter(), oldest_first=True)
    assert [*reversed(forward)] == everything

    def keys(**wanted: object) -> str:
        found = deliveries.listing(DeliveryFilter(**wanted))  # type: ignore[arg-type]
        return "".join(sorted(one.key for one in found))

    assert keys(source_name="even") == "024"
    assert keys(source=SourceKind.QUEUE) == ""
    assert keys(target="h1.example.com:80") == "14"
    assert keys(created_from=NOW + 2, created_before=NOW + 4) == "23"
    assert keys(states=frozenset({State.PENDING, State.DEAD})) == "012345"
    assert keys(states=frozenset({State.DEAD})) == ""
    assert keys(states=frozenset()) == ""
    assert keys(project="local", region="us-central1") == "012345"
    assert keys(region="elsewhere") == ""
    with pytest.raises(UsageError, match="page token 'gone'"):
        deliveries.listing(DeliveryFilter(), page=Page(after="gone"))


def test_deliveries_are_counted_by_state(deliveries: DeliveryStore) -> None:
    for key in "abc":
        deliveries.open(a_delivery(key))
    settle(deliveries, claim(deliveries, most=1).taken[0])
    assert deliveries.count(DeliveryFilter()) == {State.PENDING: 2, State.DELIVERED: 1}
    assert deliveries.count(DeliveryFilter(states=frozenset({State.DELIVERED}))) == {
        State.DELIVERED: 1
    }


# ---------------------------------------------------------------- claims


def test_a_claim_takes_what_is_due_and_says_when_the_next_is(deliveries: DeliveryStore) -> None:
    deliveries.open(a_delivery("now"))
    deliveries.open(a_delivery("later", not_before=NOW + 60))
    claims = claim(deliveries)
    (one,) = claims.taken
    assert claims.next_at == NOW + 60
    assert one == deliveries.get(one.uid)
    assert (one.state, one.lease_owner, one.lease_until) == (State.SENDING, "runner", NOW + TTL)
    assert (one.first_attempt_at, one.last_attempt_at, one.attempts) == (NOW, NOW, 0)
    assert claim(deliveries) == Claims([], NOW + 60)
    assert taken(deliveries, now=NOW + 60) == ["uid-of-s-later"]
    assert claim(deliveries, now=NOW + 60).next_at is None


def test_two_runners_never_take_the_same(another: Callable[[], DeliveryStore]) -> None:
    one, other = another(), another()
    for number in range(20):
        one.open(a_delivery(str(number)))
    found = [*taken(one, owner="a", most=5), *taken(other, owner="b", most=30)]
    found += taken(one, owner="a", most=30)
    assert len(found) == len(set(found)) == 20


def test_sources_take_turns_however_much_one_has_waiting(deliveries: DeliveryStore) -> None:
    for number in range(300):
        deliveries.open(a_delivery(str(number), source_name="crowd", not_before=NOW - 100))
    for name in ("few", "zero"):
        deliveries.open(a_delivery("x", source_name=name))
        deliveries.open(a_delivery("y", source_name=name))
    served = [claim(deliveries, most=1).taken[0].source_name for _ in range(9)]
    assert served.count("few") == 2
    assert served.count("zero") == 2
    assert {"crowd", "few", "zero"} == set(served[:3]) == set(served[3:6])


def test_many_sources_are_all_served_in_one_round(deliveries: DeliveryStore) -> None:
    for number in range(200):
        deliveries.open(a_delivery("x", source_name=f"s{number:03}"))
        deliveries.open(a_delivery("y", source_name=f"s{number:03}"))
    served: list[str] = []
    while len(served) < 200:
        served += [one.source_name for one in claim(deliveries, most=16).taken]
    assert len(set(served[:200])) >= 150


def test_no_place_gets_more_than_its_bound(deliveries: DeliveryStore) -> None:
    for number in range(200):
        deliveries.open(a_delivery(str(number)))
    other = HttpTarget("http://other.example.com/")
    deliveries.open(a_delivery("other", source_name="other", target=other))
    busy = {"sink.example.com:80": 3}
    claims = claim(deliveries, per_place=5, busy=busy)
    assert sorted(one.source_name for one in claims.taken) == ["other", "s", "s"]
    full = claim(deliveries, per_place=5, busy={"sink.example.com:80": 5})
    assert full == Claims([], None), "nothing can be taken, and time alone changes nothing"


def test_a_place_that_is_full_holds_up_no_other_of_the_same_source(
    deliveries: DeliveryStore,
) -> None:
    for number in range(200):
        deliveries.open(a_delivery(str(number), not_before=NOW - 1))
    other = HttpTarget("http://other.example.com/")
    deliveries.open(a_delivery("other", target=other))
    busy = {"sink.example.com:80": 5}
    assert taken(deliveries, per_place=5, busy=busy) == ["uid-of-s-other"]


def test_what_nobody_can_take_yet_is_looked_for_again_soon(deliveries: DeliveryStore) -> None:
    for number in range(150):
        deliveries.open(a_delivery(str(number), not_before=NOW - 1))
    for number in range(100):
        target = HttpTarget(f"http://h{number:03}.example.com/")
        deliveries.open(a_delivery("x", source_name=f"a{number:03}", target=target))
    got: set[str] = set()
    for _ in range(40):
        claims = claim(deliveries, most=8, per_place=1, busy={"sink.example.com:80": 1})
        got |= {one.source_name for one in claims.taken}
        assert claims.taken or len(got) == 100 or claims.next_at is not None
    assert len(got) == 100


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_one_that_is_damaged_is_dead_and_keeps_nobody_waiting(
    deliveries: DeliveryStore, database: Database, text: str
) -> None:
    for key in "abc":
        deliveries.open(a_delivery(key, order_key=None if key == "b" else "k"))
    database.write(
        lambda s: s.execute("UPDATE deliveries SET target = ? WHERE key = ?", (text, "a"))
    )
    assert taken(deliveries) == ["uid-of-s-b"]
    assert taken(deliveries) == ["uid-of-s-c"]
    assert deliveries.count(DeliveryFilter()) == {State.SENDING: 2, State.DEAD: 1}
    dead = DeliveryFilter(states=frozenset({State.DEAD}))
    assert deliveries.purge(dead, settled_before=NOW + 1) == 1


# ---------------------------------------------------------------- order


def test_deliveries_of_one_key_go_one_after_the_other(deliveries: DeliveryStore) -> None:
    for number in range(3):
        deliveries.open(a_delivery(str(number), order_key="k", not_before=NOW - number))
    deliveries.open(a_delivery("free"))
    deliveries.open(a_delivery("0", source_name="other", order_key="k"))
    first = claim(deliveries).taken
    assert sorted(one.uid for one in first) == ["uid-of-other-0", "uid-of-s-0", "uid-of-s-free"]
    head = deliveries.get("uid-of-s-0")
    again = moved(head, Event.RETRYABLE, not_before=NOW + 60)
    assert deliveries.record([again]) == [True]
    assert taken(deliveries) == [], "the one that is to be tried again holds up the rest"
    (head,) = claim(deliveries, now=NOW + 60).taken
    settle(deliveries, head)
    assert taken(deliveries, now=NOW + 60) == ["uid-of-s-1"]


@pytest.mark.parametrize("event", [Event.WITHDRAWN, Event.AGED_OUT])
def test_one_that_goes_while_it_waits_holds_up_nobody(
    deliveries: DeliveryStore, event: Event
) -> None:
    for number in range(4):
        deliveries.open(a_delivery(str(number), order_key="k"))
    waiting = deliveries.get("uid-of-s-1")
    assert deliveries.record([moved(waiting, event)]) == [True]
    assert taken(deliveries) == ["uid-of-s-0"]
    settle(deliveries, deliveries.get("uid-of-s-0"))
    assert taken(deliveries) == ["uid-of-s-2"]
    assert deliveries.record([moved(deliveries.get("uid-of-s-2"), Event.WITHDRAWN)]) == [True]
    assert taken(deliveries) == ["uid-of-s-3"]


# ---------------------------------------------------------------- moves


def sending(store: DeliveryStore, **fields: object) -> Delivery:
    store.open(a_delivery(**fields))  # type: ignore[arg-type]
    (one,) = claim(store).taken
    return one


def test_a_move_is_written_with_its_attempt(deliveries: DeliveryStore) -> None:
    one = sending(deliveries)
    attempt = an_attempt(
        one, excerpt=b"\xff\x00", error="a\0b", execution="e", retry_at=NOW + 5, status=503
    )
    move = moved(one, Event.RETRYABLE, not_before=NOW + 5, last_status=503, reason="HTTP 503")
    assert deliveries.record([replace(move, attempt=attempt)]) == [True]
    assert deliveries.get(one.uid) == move.after
    assert deliveries.attempts(one.uid) == [replace(attempt, error="a\N{REPLACEMENT CHARACTER}b")]


def test_many_are_read_at_once_each_with_its_last_attempt(deliveries: DeliveryStore) -> None:
    one, two = (sending(deliveries, key=key) for key in "ab")
    first = an_attempt(one, number=1)
    move = moved(one, Event.RETRYABLE, not_before=NOW, last_status=503, reason="HTTP 503")
    deliveries.record([replace(move, attempt=first)])
    (again,) = claim(deliveries).taken
    last = an_attempt(again, number=2, status=None, broken=Break.TLS)
    deliveries.record([replace(moved(again, Event.ACCEPTED), attempt=last)])
    uids = [one.uid, two.uid, "nobody", *map(str, range(1000))]
    assert deliveries.get_all(uids) == {uid: deliveries.get(uid) for uid in uids[:2]}
    assert deliveries.last_attempts(uids) == {one.uid: last}
    assert deliveries.get_all([]) == deliveries.last_attempts([]) == {}


def test_a_move_of_what_has_moved_already_is_left_out_and_the_others_are_written(
    deliveries: DeliveryStore,
) -> None:
    gone, here = (sending(deliveries, key=key) for key in "ab")
    assert deliveries.record([moved(gone, Event.WITHDRAWN)]) == [True]
    late = replace(moved(gone, Event.ACCEPTED), attempt=an_attempt(gone))
    assert deliveries.record([late, moved(here, Event.ACCEPTED)]) == [False, True]
    assert deliveries.get(gone.uid).state is State.CANCELLED
    assert deliveries.attempts(gone.uid) == []


def test_whoever_has_lost_its_lease_writes_nothing_even_if_it_holds_the_same_again(
    deliveries: DeliveryStore,
) -> None:
    one = sending(deliveries)
    assert deliveries.record([moved(one, Event.LEASE_EXPIRED)]) == [True]
    assert deliveries.record([moved(one, Event.ACCEPTED)]) == [False]
    (again,) = claim(deliveries).taken
    assert again.unknown == 1
    assert deliveries.record([moved(one, Event.ACCEPTED)]) == [False]
    assert deliveries.record([moved(again, Event.ACCEPTED)]) == [True]


def test_a_move_that_is_not_in_the_table_changes_nothing(deliveries: DeliveryStore) -> None:
    one = sending(deliveries)
    wrong = Move(one, Event.AGED_OUT, replace(one, state=State.EXPIRED, settled_at=NOW))
    with pytest.raises(IllegalTransition):
        deliveries.record([wrong])
    assert deliveries.get(one.uid) == one


def test_deliveries_that_follow_a_run_hold_no_lease_and_are_found(
    deliveries: DeliveryStore,
) -> None:
    one = sending(deliveries, target=JobTarget("job", ack=Ack.ON_SUCCESS))
    assert deliveries.following() == []
    move = moved(one, Event.FOLLOWING, execution="e", attempts=0)
    assert deliveries.record([move]) == [True]
    (found,) = deliveries.following()
    assert found == move.after
    assert deliveries.record([moved(found, Event.RETRYABLE, run_try=1)]) == [True]
    assert deliveries.record([moved(found, Event.ACCEPTED)]) == [False]
    assert deliveries.following() == []


# ---------------------------------------------------------------- leases


def test_a_lease_lasts_as_long_as_its_heart_beats(deliveries: DeliveryStore) -> None:
    one = sending(deliveries)
    assert deliveries.forsaken(now=NOW + 14, owner="other") == []
    assert deliveries.forsaken(now=NOW + 15, owner="other") == [one]
    assert deliveries.forsaken(now=NOW + 15, owner="runner") == [], "its own are in its hands"
    kept = deliveries.heartbeat("runner", {one.uid}, until=NOW + 20)
    assert kept == [replace(one, lease_until=NOW + 20)]
    assert deliveries.forsaken(now=NOW + 19, owner="other") == []
    assert deliveries.heartbeat("other", {one.uid}, until=NOW + 90) == []
    assert deliveries.get(one.uid).lease_until == NOW + 20
    assert deliveries.heartbeat("runner", {one.uid}, until=NOW + 18) == kept
    assert deliveries.get(one.uid).lease_until == NOW + 20, "the end of a lease never moves back"


def test_what_a_runner_holds_without_knowing_is_told_to_it(deliveries: DeliveryStore) -> None:
    one = sending(deliveries)
    assert deliveries.heartbeat("runner", set(), until=NOW + 20) == [one]
    assert deliveries.held_by("runner") == [one]
    assert deliveries.holders() == ["runner"]


# ---------------------------------------------------------------- house-keeping


def test_what_is_older_than_its_source_keeps_it_is_overdue(deliveries: DeliveryStore) -> None:
    deliveries.open(a_delivery("old", retry=PushRetry(retention=600.0)))
    deliveries.open(a_delivery("for ever"))
    assert deliveries.overdue(now=NOW + 599) == []
    (one,) = deliveries.overdue(now=NOW + 600)
    assert one.key == "old"
    assert deliveries.record([moved(one, Event.AGED_OUT)]) == [True]
    assert deliveries.overdue(now=NOW + 600) == []


def test_a_purge_removes_what_has_settled_with_its_attempts(deliveries: DeliveryStore) -> None:
    for number in range(3):
        one = sending(deliveries, key=str(number))
        move = moved(one, Event.ACCEPTED, at=NOW + number)
        deliveries.record([replace(move, attempt=an_attempt(one))])
    deliveries.open(a_delivery("waits"))
    everything = DeliveryFilter()
    assert deliveries.settled(everything, settled_before=NOW + 2) == 2
    assert deliveries.purge(everything, settled_before=NOW + 2, limit=1) == 1
    assert deliveries.attempts("uid-of-s-0") == []
    assert deliveries.purge(everything, settled_before=NOW + 2) == 1
    dead = DeliveryFilter(states=frozenset({State.DEAD}))
    assert deliveries.purge(dead, settled_before=NOW + 99) == 0
    assert deliveries.purge(everything, settled_before=NOW + 99) == 1
    assert [one.key for one in deliveries.listing(everything)] == ["waits"]
