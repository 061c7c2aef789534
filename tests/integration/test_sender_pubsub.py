"""Messages of schedules, published to a small stand-in for Pub/Sub that speaks its gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.pubsub_v1.types import PublishRequest, PublishResponse
from grpc import aio

from triggers.core.records import (
    Delivery,
    HttpTarget,
    Payload,
    PubsubTarget,
    ScheduleRetry,
    SourceKind,
    Target,
)
from triggers.core.verdict import Answer, Break, Broken, judge
from triggers.ports import Sent
from triggers.senders.pubsub import PubsubSender

TOPIC = "projects/p/topics/t"


class Emulator:
    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.refusal: grpc.StatusCode | None = None
        self.hangs = False

    async def publish(self, request: Any, context: Any) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        if self.refusal is not None:
            await context.abort(self.refusal, "said\nso")
        self.seen.append(request)
        return PublishResponse(message_ids=[str(len(self.seen))])


@asynccontextmanager
async def emulated(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    emulator = Emulator()
    handler = grpc.unary_unary_rpc_method_handler(
        emulator.publish,
        request_deserializer=PublishRequest.deserialize,
        response_serializer=PublishResponse.serialize,
    )
    server = aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", {"Publish": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    try:
        yield emulator
    finally:
        await server.stop(None)


def delivery(target: Target, payload: Payload | None = None) -> Delivery:
    return Delivery(
        uid="d1",
        project="local",
        region="us-central1",
        source=SourceKind.SCHEDULE,
        source_name="nightly",
        key="k",
        target=target,
        retry=ScheduleRetry(),
        payload=payload,
    )


async def send(target: Target, payload: Payload | None = None) -> Sent:
    sender = PubsubSender()
    try:
        return await sender.send(delivery(target, payload), 1)
    finally:
        await sender.close()


async def test_a_message_carries_the_data_and_attributes_of_the_target_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attributes = (("topic", "a"), ("retry", "b"))
    async with emulated(monkeypatch) as emulator:
        sent = await send(PubsubTarget(TOPIC, b"hello", attributes))
    assert sent == Sent(Answer(200), b"1")
    assert judge(SourceKind.SCHEDULE, sent.outcome).reason == "message 1 was published"
    (request,) = emulator.seen
    (message,) = request.messages
    assert request.topic == TOPIC
    assert message.data == b"hello"
    assert dict(message.attributes) == dict(attributes)
    assert not message.ordering_key


async def test_one_connection_serves_all_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    async with emulated(monkeypatch) as emulator:
        sender = PubsubSender()
        target = delivery(PubsubTarget(TOPIC, b"x"))
        sent = await asyncio.gather(*(sender.send(target, 1) for _ in range(20)))
        await sender.close()
    assert {one.outcome for one in sent} == {Answer(200)}
    assert len(emulator.seen) == 20


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (grpc.StatusCode.NOT_FOUND, Answer(404)),
        (grpc.StatusCode.PERMISSION_DENIED, Answer(403)),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Answer(429)),
        (grpc.StatusCode.INVALID_ARGUMENT, Answer(400)),
        (grpc.StatusCode.INTERNAL, Answer(500)),
        (grpc.StatusCode.UNAVAILABLE, Broken(Break.CONNECT, "said so")),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Broken(Break.DEADLINE, "said so")),
    ],
)
async def test_a_refusal_is_the_answer_that_the_api_would_give(
    monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, outcome: Answer | Broken
) -> None:
    async with emulated(monkeypatch) as emulator:
        emulator.refusal = code
        sent = await send(PubsubTarget(TOPIC, b"x"))
    assert sent.outcome == outcome
    if isinstance(outcome, Answer):
        assert sent.excerpt == b"said so"
        reason = judge(SourceKind.SCHEDULE, sent.outcome).reason
        assert reason == f"HTTP {outcome.status}: said so"


async def test_an_emulator_that_is_not_there_is_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    sent = await send(PubsubTarget(TOPIC, b"x"))
    assert isinstance(sent.outcome, Broken)
    assert sent.outcome.why is Break.CONNECT


async def test_one_that_never_answers_ends_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("triggers.senders.pubsub.DEADLINE", 0.3)
    async with emulated(monkeypatch) as emulator:
        emulator.hangs = True
        sent = await send(PubsubTarget(TOPIC, b"x"))
    assert isinstance(sent.outcome, Broken)
    assert sent.outcome.why is Break.DEADLINE


async def test_without_credentials_it_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(scopes: object) -> None:
        raise DefaultCredentialsError("there are none")

    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setattr("google.auth.default", none)
    sender = PubsubSender()
    target = delivery(PubsubTarget(TOPIC, b"x"))
    assert (await sender.send(target, 1)).outcome == Broken(Break.CONNECT, "there are none")
    async with emulated(monkeypatch):
        assert (await sender.send(target, 2)).outcome == Answer(200)
        await sender.close()


async def test_a_target_of_another_kind_is_unusable() -> None:
    sent = await send(HttpTarget("http://x/"))
    assert isinstance(sent.outcome, Broken)
    assert sent.outcome.why is Break.UNUSABLE
