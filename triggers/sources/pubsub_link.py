"""The Pub/Sub API as a consumer needs it, by the stubs of google-cloud-pubsub.

That package is an extra (``pip install 'jobrunner[pubsub]'``) and imported when the first link is
made. With ``PUBSUB_EMULATOR_HOST`` (``HOST:PORT``) it goes to the emulator, where what is missing
is made; else to Google, where nothing ever is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jobrunner.core.timestamps import format_time
from triggers.core.events import PubsubMessage
from triggers.event_ports import PubsubSource

EMULATOR = "PUBSUB_EMULATOR_HOST"
SCOPE = "https://www.googleapis.com/auth/pubsub"
SERVICE = "/google.pubsub.v1.Subscriber/"
CALL_SECONDS = 20.0
HEARTBEAT_SECONDS = 30.0
LARGEST = 32 * 1024 * 1024
"""Bytes of one answer; a message has 10 MB at most."""
OPTIONS = [
    # gRPC fails calls without trying while it waits to connect again, up to two minutes by default.
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", LARGEST),
]
_TRANSIENT = "TRANSIENT_FAILURE_"


class LinkFault(Exception):
    """A call that failed. ``code`` is a word of google.rpc.Code; the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def passing(self) -> bool:
        """Whether it is ordinary that such a stream ends, and is opened again."""
        return self.code in {"UNAVAILABLE", "ABORTED", "INTERNAL", "DEADLINE_EXCEEDED", "OK"}


@dataclass(frozen=True, slots=True)
class Received:
    ack_id: str
    message: PubsubMessage
    size: int


class Link(Protocol):
    """One connection for all subscriptions. Everything raises LinkFault."""

    @property
    def forgets(self) -> bool:
        """Whether what is at the other end forgets everything when it is started again: then an
        ``ack_id`` of before may name another message."""
        ...

    @property
    def heeds_bounds(self) -> bool:
        """Whether the sender stops at the bounds of :meth:`messages`. One that does not goes on
        sending what nobody reads, until that is too old to be acknowledged."""
        ...

    async def prepare(self, source: PubsubSource) -> bool:
        """Makes what is missing, where that may be done. Says whether the subscription spaces
        out by itself what is refused."""
        ...

    def messages(
        self, source: PubsubSource, *, deadline: float, most: int, size: int
    ) -> AsyncGenerator[Sequence[Received], None]:
        """As they come, each leased for ``deadline`` seconds; ``most`` messages and ``size`` bytes
        may be unacknowledged."""
        ...

    async def acknowledge(self, subscription: str, ids: Sequence[str]) -> Sequence[str]:
        """Returns those that are to be tried again (exactly-once delivery)."""
        ...

    async def extend(self, subscription: str, ids: Sequence[str], seconds: float) -> None:
        """The leases, from now on; 0 gives the messages back."""
        ...

    async def close(self) -> None: ...


async def open_link() -> Link:
    """Raises LinkFault where the package or credentials are missing."""
    return await asyncio.to_thread(_prepared)


def _prepared() -> Link:
    """Importing takes its time, and looking for credentials may ask a metadata server."""
    try:
        from google.pubsub_v1.services.subscriber import transports  # noqa: F401
    except ImportError:
        text = "consuming needs the package google-cloud-pubsub: pip install 'jobrunner[pubsub]'"
        raise LinkFault("UNIMPLEMENTED", text) from None
    emulator = os.environ.get(EMULATOR, "")
    if emulator:
        return PubsubLink(emulator, None)
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
    except GoogleAuthError as error:
        said = " ".join(str(error).split())[:300]
        text = f"{said} For the emulator start the server with {EMULATOR}=HOST:PORT."
        raise LinkFault("UNAUTHENTICATED", text) from None
    return PubsubLink("", credentials)


class PubsubLink:
    """See :class:`Link`. Belongs to the loop of its first call."""

    def __init__(self, emulator: str, credentials: Any) -> None:
        self._emulator = emulator
        self._credentials = credentials
        self._stubs: _Stubs | None = None

    @property
    def forgets(self) -> bool:
        return bool(self._emulator)

    @property
    def heeds_bounds(self) -> bool:
        return not self._emulator

    async def prepare(self, source: PubsubSource) -> bool:
        if self._emulator:
            return await self._make(source)
        from google.api_core.exceptions import GoogleAPICallError

        try:
            found = await self._open().subscriber.get_subscription(
                subscription=source.subscription, timeout=CALL_SECONDS, retry=None
            )
        except GoogleAPICallError as error:
            # To consume, nobody needs the right to look.
            if _word(error) == "PERMISSION_DENIED":
                return source.min_backoff is not None
            raise _fault(error, source) from None
        return bool(found.retry_policy)

    async def _make(self, source: PubsubSource) -> bool:
        from google.api_core.exceptions import AlreadyExists, GoogleAPICallError

        stubs, spaced = self._open(), source.min_backoff is not None
        try:
            for topic in filter(None, (source.topic, source.dead_letter_topic)):
                with contextlib.suppress(AlreadyExists):
                    await stubs.publisher.create_topic(name=topic, timeout=CALL_SECONDS, retry=None)
            if source.topic:
                with contextlib.suppress(AlreadyExists):
                    await stubs.subscriber.create_subscription(
                        request=_resource(source), timeout=CALL_SECONDS, retry=None
                    )
        except GoogleAPICallError as error:
            raise _fault(error, source) from None
        return spaced

    async def messages(
        self, source: PubsubSource, *, deadline: float, most: int, size: int
    ) -> AsyncGenerator[Sequence[Received], None]:
        from grpc.aio import AioRpcError

        stubs = self._open()
        first = stubs.request(
            subscription=source.subscription,
            stream_ack_deadline_seconds=int(deadline),
            max_outstanding_messages=most,
            max_outstanding_bytes=size,
        )

        async def requests() -> AsyncIterator[Any]:
            yield first
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                yield stubs.request(stream_ack_deadline_seconds=int(deadline))

        call = stubs.pull(requests(), metadata=_routed(source.subscription))
        try:
            async for answer in call:
                yield [_received(one) for one in answer.received_messages]
        except AioRpcError as error:
            raise _fault(error, source) from None
        finally:
            call.cancel()

    async def acknowledge(self, subscription: str, ids: Sequence[str]) -> Sequence[str]:
        from grpc.aio import AioRpcError

        stubs = self._open()
        request = stubs.ack_request(subscription=subscription, ack_ids=ids)
        try:
            await stubs.acknowledge(request, timeout=CALL_SECONDS, metadata=_routed(subscription))
        except AioRpcError as error:
            again = [
                ack_id for ack_id, why in _reasons(error).items() if why.startswith(_TRANSIENT)
            ]
            if again:
                return again
            raise _fault(error) from None
        return ()

    async def extend(self, subscription: str, ids: Sequence[str], seconds: float) -> None:
        from grpc.aio import AioRpcError

        stubs = self._open()
        request = stubs.extend_request(
            subscription=subscription, ack_ids=ids, ack_deadline_seconds=int(seconds)
        )
        try:
            await stubs.extend(request, timeout=CALL_SECONDS, metadata=_routed(subscription))
        except AioRpcError as error:
            raise _fault(error) from None

    async def close(self) -> None:
        stubs, self._stubs = self._stubs, None
        if stubs is not None:
            await stubs.channel.close()

    def _open(self) -> _Stubs:
        if self._stubs is None:
            self._stubs = _Stubs(self._emulator, self._credentials)
        return self._stubs


class _Stubs:
    """What is called for each message works on plain messages of protobuf: their wrappers cost more
    than all the rest."""

    def __init__(self, emulator: str, credentials: Any) -> None:
        from google.pubsub_v1 import types
        from google.pubsub_v1.services.publisher import PublisherAsyncClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
        from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
        from grpc import aio

        if emulator:
            self.channel: Any = aio.insecure_channel(emulator, options=OPTIONS)
        else:
            self.channel = SubscriberGrpcAsyncIOTransport.create_channel(
                credentials=credentials,
                scopes=[SCOPE],
                options=[*OPTIONS, ("grpc.keepalive_time_ms", 30_000)],
            )
        self.subscriber = SubscriberAsyncClient(
            transport=SubscriberGrpcAsyncIOTransport(channel=self.channel)
        )
        self.publisher = PublisherAsyncClient(
            transport=PublisherGrpcAsyncIOTransport(channel=self.channel)
        )
        self.request: Any = types.StreamingPullRequest.pb()
        self.ack_request: Any = types.AcknowledgeRequest.pb()
        self.extend_request: Any = types.ModifyAckDeadlineRequest.pb()
        self.pull = self.channel.stream_stream(
            f"{SERVICE}StreamingPull",
            request_serializer=self.request.SerializeToString,
            response_deserializer=types.StreamingPullResponse.pb().FromString,
        )
        self.acknowledge = self.channel.unary_unary(
            f"{SERVICE}Acknowledge",
            request_serializer=self.ack_request.SerializeToString,
            response_deserializer=None,
        )
        self.extend = self.channel.unary_unary(
            f"{SERVICE}ModifyAckDeadline",
            request_serializer=self.extend_request.SerializeToString,
            response_deserializer=None,
        )


def _received(one: Any) -> Received:
    message = one.message
    stamp = message.publish_time
    at = stamp.seconds + stamp.nanos / 1e9
    plain = PubsubMessage(
        message.message_id,
        format_time(at),
        at,
        message.data,
        tuple(message.attributes.items()),
        message.ordering_key,
        one.delivery_attempt or None,
    )
    return Received(one.ack_id, plain, one.ByteSize())


def _resource(source: PubsubSource) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "name": source.subscription,
        "topic": source.topic,
        "ack_deadline_seconds": max(10, min(600, int(source.ack_deadline))),
        "enable_message_ordering": source.ordered,
        "enable_exactly_once_delivery": source.exactly_once,
        "filter": source.filter,
    }
    if source.min_backoff is not None:
        resource["retry_policy"] = {
            "minimum_backoff": _duration(source.min_backoff),
            "maximum_backoff": _duration(source.max_backoff),
        }
    if source.dead_letter_topic and source.max_delivery_attempts is not None:
        resource["dead_letter_policy"] = {
            "dead_letter_topic": source.dead_letter_topic,
            "max_delivery_attempts": source.max_delivery_attempts,
        }
    return resource


def _duration(seconds: float) -> dict[str, int]:
    whole = int(seconds)
    return {"seconds": whole, "nanos": round((seconds - whole) * 1e9)}


def _routed(subscription: str) -> list[tuple[str, str]]:
    return [("x-goog-request-params", f"subscription={subscription}")]


def _word(error: Any) -> str:
    code = getattr(error, "grpc_status_code", None)
    if code is None:
        code = error.code() if callable(getattr(error, "code", None)) else None
    name = getattr(code, "name", None)
    return str(name) if name else "UNKNOWN"


def _fault(error: Any, source: PubsubSource | None = None) -> LinkFault:
    word = _word(error)
    said = getattr(error, "message", None) or (
        error.details() if callable(getattr(error, "details", None)) else str(error)
    )
    text = " ".join(str(said or word).split())[:300]
    if word == "NOT_FOUND" and source is not None:
        name = source.subscription.rpartition("/")[2]
        topic = source.topic or "TOPIC"
        project = source.subscription.split("/")[1]
        text += f" Make it: gcloud pubsub subscriptions create {name} --topic {topic}"
        text += f" --project {project}"
    return LinkFault(word, text)


def _reasons(error: Any) -> dict[str, str]:
    """By ack id, as exactly-once delivery tells them."""
    return dict(_pairs(error))


def _pairs(error: Any) -> Iterator[tuple[str, str]]:
    from google.rpc import error_details_pb2, status_pb2

    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                yield from info.metadata.items()
