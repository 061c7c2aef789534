"""What a pusher is answered, and what has been stored by then."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from jobrunner.calls import Principal, Role
from jobrunner.errors import StoreFault
from jobrunner.lib.database import connect
from tests.support.deliveries import NOW, moved
from tests.support.dispatching import breathe
from tests.support.pushing import ENVELOPE, Door, Issuer
from tests.support.subscriptions import HERE, a_subscription
from triggers.api.push.proving import secret_hash
from triggers.core.records import HttpTarget
from triggers.core.states import DeliveryEvent
from triggers.core.subscriptions import AckPolicy, Intake, TokenCheck, TokenKeys, Wrapping
from triggers.ports import DeliveryFilter

SECRET = "a-token-that-is-long-enough"


@pytest.fixture
def door() -> Iterator[Door]:
    database = connect("sqlite:///:memory:")
    yield Door(database)
    database.close()


def stored(door: Door) -> list[Any]:
    return list(door.room.deliveries.listing(DeliveryFilter(), oldest_first=True))


def make(door: Door, name: str = "orders", **fields: Any) -> None:
    door.room.subscriptions.create(a_subscription(name, **fields))


async def test_a_message_is_acknowledged_when_its_delivery_is_stored(door: Door) -> None:
    make(door)
    status, body, _ = await door.post()
    assert (status, body, door.looks) == (204, None, 1)
    [delivery] = stored(door)
    assert delivery.payload is not None
    assert json.loads(delivery.payload.body)["message"]["messageId"] == "7"
    assert (await door.post())[0] == 204
    assert len(stored(door)) == 1


async def test_what_cannot_be_stored_is_not_acknowledged_and_says_nothing_of_the_database(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(door)

    def full(*_: object) -> object:
        raise StoreFault("/secret/path.db: the disk is full")

    monkeypatch.setattr(door.room.deliveries, "open", full)
    status, body, headers = await door.post()
    assert (status, headers["Retry-After"]) == (503, "1")
    assert "secret" not in json.dumps(body)


async def test_nobody_is_told_more_than_that_there_is_no_such_subscription(door: Door) -> None:
    make(door, "pulls", intake=Intake.PULL, topic="projects/p/topics/abc")
    assert (await door.post("nobody"))[0] == 404
    assert (await door.post("pulls"))[0] == 404


async def test_a_name_that_several_have_is_reached_by_its_whole_path(door: Door) -> None:
    make(door)
    make(door, region="europe-west1")
    assert (await door.post())[0] == 409
    place = {"project": "local", "region": "europe-west1"}
    assert (await door.post(**place))[0] == 204
    assert [one.region for one in stored(door)] == ["europe-west1"]


async def test_a_paused_subscription_lets_the_sender_keep_the_message(door: Door) -> None:
    make(door)
    door.room.subscriptions.pause(HERE, "orders")
    status, _, headers = await door.post()
    assert (status, headers["Retry-After"]) == (503, "10")
    assert stored(door) == []


async def test_a_full_backlog_lets_the_sender_wait(door: Door) -> None:
    make(door, backlog=1)
    assert (await door.post())[0] == 204
    other = {**ENVELOPE, "message": {**ENVELOPE["message"], "messageId": "8"}}
    status, body, headers = await door.post(body=other)
    assert (status, headers["Retry-After"]) == (429, "1")
    assert body["error"]["status"] == "RESOURCE_EXHAUSTED"


async def test_what_the_filter_refuses_is_acknowledged_and_not_stored(door: Door) -> None:
    make(door, filter="attributes:kind")
    assert (await door.post())[0] == 204
    assert stored(door) == []


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "not JSON"),
        (b"[1]", 400, "not an object"),
        (b"{}", 400, "message: it is missing"),
        (b'{"message":{"messageId":"1"}}', 400, "message.publishTime"),
    ],
)
async def test_what_is_no_envelope_is_refused_by_the_name_of_its_field(
    door: Door, body: bytes, status: int, says: str
) -> None:
    make(door)
    code, answer, _ = await door.post(body=body or b" ")
    assert code == status
    assert says in answer["error"]["message"]
    assert stored(door) == []


async def test_a_push_without_an_envelope_is_taken_where_it_is_expected(door: Door) -> None:
    make(door, "bare", accepts=Wrapping.UNWRAPPED)
    make(door, "meta", accepts=Wrapping.UNWRAPPED_METADATA)
    headers = (
        ("x-goog-pubsub-message-id", "9"),
        ("x-goog-pubsub-publish-time", "2025-06-15T15:06:40.500Z"),
        ("kind", "ä"),
    )
    assert (await door.post("bare", b"\xff\0"))[0] == 204
    assert (await door.post("bare", b"\xff\0"))[0] == 204
    assert (await door.post("meta", b"\xff\0", headers=headers))[0] == 204
    assert (await door.post("meta", b"\xff\0", headers=headers))[0] == 204
    status, answer, _ = await door.post("meta", b"\xff\0")
    assert (status, len(stored(door))) == (400, 3)
    assert "x-goog-pubsub-message-id" in answer["error"]["message"]
    body = json.loads(stored(door)[2].payload.body)
    assert body["message"]["attributes"] == {"kind": "ä"}


# ---------------------------------------------------------------- who may push


async def test_a_push_token_is_asked_for_and_compared(door: Door) -> None:
    make(door, secret_hash=secret_hash(SECRET))
    for wrong in ({}, {"token": ""}, {"token": "wrong"}, {"token": secret_hash(SECRET)}):
        status, body, _ = await door.post(**wrong)
        assert status == 401
        assert "wrong" not in json.dumps(body).replace("missing or wrong", "")
    assert (await door.post(token=SECRET))[0] == 204
    assert len(stored(door)) == 1


async def test_a_push_token_does_for_a_server_with_tokens(door: Door) -> None:
    door.tokens["jrt_x"] = Principal("x", Role.VIEWER)
    make(door, secret_hash=secret_hash(SECRET))
    assert (await door.post(token=SECRET))[0] == 204


async def test_without_a_check_the_tokens_of_the_server_decide(door: Door) -> None:
    make(door)
    assert (await door.post(bearer="whatever.pubsub.sends"))[0] == 204
    door.tokens["viewer"] = Principal("v", Role.VIEWER)
    door.tokens["invoker"] = Principal("i", Role.INVOKER)
    door.room.clock.advance(1.0)
    said = [(await door.post(bearer=one))[0] for one in (None, "wrong", "viewer", "invoker")]
    assert said == [401, 401, 403, 204]
    door.tokens.clear()
    door.alone = None
    door.room.clock.advance(1.0)
    assert (await door.post(bearer="invoker"))[0] == 401


async def test_the_right_token_of_google_is_let_in_and_no_other(door: Door) -> None:
    make(door, token=TokenCheck(email="pusher@p.iam.gserviceaccount.com"))
    google = door.google
    assert (await door.post(bearer=google.token()))[0] == 204
    stranger = Issuer("k1", whose="stranger")
    wrong = {
        "none": None,
        "nonsense": "a.b.c",
        "forged": stranger.token(),
        "by another key": Issuer("k9").token(),
        "expired": google.token(exp=NOW - 60),
        "of the future": google.token(iat=NOW + 600),
        "for another": google.token(aud="http://localhost:8686/push/other"),
        "for another host": google.token(aud="https://evil.example.com/push/orders"),
        "by another issuer": google.token(iss="https://accounts.example.com"),
        "of another": google.token(email="other@p.iam.gserviceaccount.com"),
        "unverified": google.token(email_verified=False),
        "without an algorithm": google.token(head={"alg": "none"}),
        "of a symmetric key": google.token(head={"alg": "HS256"}),
        "cut off": google.token()[:-20],
        "no end": google.token(exp=None),
    }
    for what, bearer in wrong.items():
        status, body, headers = await door.post(bearer=bearer)
        assert status == 401, what
        assert headers["WWW-Authenticate"].startswith("Bearer"), what
        assert bearer is None or bearer not in json.dumps(body)
    assert len(stored(door)) == 1


async def test_audience_and_issuer_are_as_the_subscription_says(door: Door) -> None:
    make(door, "own", token=TokenCheck(TokenKeys.OURS))
    make(door, "named", token=TokenCheck(issuer="https://me", audience="you"))
    mine = door.ours.token(iss="http://localhost:8686", aud="https://localhost:8686/push/own?a=b")
    assert (await door.post("own", bearer=mine))[0] == 204
    assert (await door.post("own", bearer=door.google.token()))[0] == 401
    assert (await door.post("named", bearer=door.google.token()))[0] == 401
    other = door.google.token(iss="https://me", aud="you", email="")
    assert (await door.post("named", bearer=other))[0] == 204


async def test_both_a_push_token_and_a_signature_are_needed_where_both_are_set(door: Door) -> None:
    make(door, token=TokenCheck(), secret_hash=secret_hash(SECRET))
    assert (await door.post(bearer=door.google.token()))[0] == 401
    assert (await door.post(token=SECRET))[0] == 401
    assert (await door.post(bearer=door.google.token(), token=SECRET))[0] == 204


async def test_keys_are_fetched_once_and_not_for_every_unknown_one(door: Door) -> None:
    make(door, token=TokenCheck())
    google = door.google
    for _ in range(3):
        assert (await door.post(bearer=google.token()))[0] == 204
        assert (await door.post(bearer=google.token(head={"kid": "k2"})))[0] == 401
        assert (await door.post(bearer=google.token(exp=0)))[0] == 401
    assert google.fetches == 1
    google.kid = "k2"
    door.room.clock.advance(31.0)
    assert (await door.post(bearer=google.token()))[0] == 204
    assert google.fetches == 2


async def test_a_sender_waits_while_the_keys_cannot_be_had(door: Door) -> None:
    make(door, token=TokenCheck())
    door.google.away = True
    status, _, headers = await door.post(bearer=door.google.token())
    assert (status, headers["Retry-After"]) == (503, "5")
    door.google.away = False
    assert (await door.post(bearer=door.google.token()))[0] == 204
    # Old keys serve while new ones cannot be had.
    door.google.away = True
    door.room.clock.advance(3000.0)
    assert (await door.post(bearer=door.google.token()))[0] == 204


# ---------------------------------------------------------------- acknowledged when finished


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (DeliveryEvent.ACCEPTED, 204),
        (DeliveryEvent.REJECTED, 502),
        (DeliveryEvent.EXHAUSTED, 502),
        (DeliveryEvent.WITHDRAWN, 204),
    ],
)
async def test_who_waits_for_the_target_is_answered_as_it_ends(
    door: Door, event: DeliveryEvent, status: int
) -> None:
    make(door, ack=AckPolicy.FINISHED, target=HttpTarget("http://sink.example.com/"))
    waiting = [asyncio.ensure_future(door.post()) for _ in range(2)]
    await breathe()
    assert not any(one.done() for one in waiting)
    store = door.room.deliveries
    [sending] = store.claim("r", now=NOW, ttl=15, most=9, per_place=9, busy={}).taken
    move = moved(sending, event)
    assert store.record([move]) == [True]
    door.settlements.told([move])
    assert [(await one)[0] for one in waiting] == [status] * 2
    assert not door.settlements._waiting
    # And once more, when it has settled before: given up is given up for that delivery only.
    if status == 204:
        assert (await door.post())[0] == 204
        assert len(stored(door)) == 1


async def test_who_waits_for_too_long_is_told_to_try_again(door: Door) -> None:
    make(door, ack=AckPolicy.FINISHED)
    assert await door.settlements.settled((await _opened(door)).uid, 0.0) is None


async def _opened(door: Door) -> Any:
    waiting = asyncio.ensure_future(door.post())
    await breathe()
    waiting.cancel()
    await asyncio.wait([waiting])
    return stored(door)[0]
