"""Publishes the message of a :class:`PubsubTarget`; that it was published is all that counts.

google-cloud-pubsub is an extra (``pip install 'jobrunner[pubsub]'``) and imported by the first
message. With ``PUBSUB_EMULATOR_HOST`` (``HOST:PORT``) it goes to the emulator, else to Google.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from triggers.core.records import Delivery, PubsubTarget
from triggers.core.verdict import Answer, Break, Broken
from triggers.ports import Sent

DEADLINE = 60.0
EMULATOR = "PUBSUB_EMULATOR_HOST"
RECONNECT = ("grpc.max_reconnect_backoff_ms", 1000)
"""gRPC fails calls without trying while it waits to connect again, up to two minutes by default:
all retries of a schedule could be used up with an emulator that is back."""
SCOPE = "https://www.googleapis.com/auth/pubsub"

log = logging.getLogger(__name__)


class _NoClient(Exception):
    """Nothing can be published from here; the text says why."""


class PubsubSender:
    """:class:`triggers.ports.Sender` for PubsubTargets. Belongs to the loop of its first call."""

    def __init__(self) -> None:
        self._making: asyncio.Task[Any] | None = None

    async def send(self, delivery: Delivery, number: int) -> Sent:
        target = delivery.target
        if not isinstance(target, PubsubTarget):
            return Sent(Broken(Break.UNUSABLE, "the target is not a topic"))
        limit = asyncio.timeout(DEADLINE)
        try:
            async with limit:
                return await self._publish(delivery, target)
        except TimeoutError:
            return Sent(Broken(Break.DEADLINE, f"not published within {DEADLINE:g} s"))
        except _NoClient as error:
            return Sent(Broken(Break.UNUSABLE, str(error)))
        except Exception as error:
            return Sent(*_read(error))

    async def close(self) -> None:
        making, self._making = self._making, None
        if making is None:
            return
        making.cancel()
        for client in await asyncio.gather(making, return_exceptions=True):
            if not isinstance(client, BaseException):
                await client.transport.close()

    async def _publish(self, delivery: Delivery, target: PubsubTarget) -> Sent:
        client = await self._client()
        payload = delivery.payload
        message = {
            "data": target.data if payload is None else payload.body,
            "attributes": dict(target.attributes if payload is None else payload.headers),
            "ordering_key": target.ordering_key,
        }
        answer = await client.publish(
            request={"topic": target.topic, "messages": [message]}, retry=None, timeout=DEADLINE
        )
        ids = ", ".join(answer.message_ids)
        return Sent(Answer(200, words=f"message {ids} was published"), ids.encode())

    async def _client(self) -> Any:
        """One for all; what could not be made is tried again by the next message."""
        making = self._making
        if making is None or (making.done() and (making.cancelled() or making.exception())):
            making = self._making = asyncio.ensure_future(_make())
        return await asyncio.shield(making)


async def _make() -> Any:
    try:
        from google.pubsub_v1.services.publisher import PublisherAsyncClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
        from grpc import aio
    except ImportError:
        raise _NoClient(
            "publishing needs the package google-cloud-pubsub: pip install 'jobrunner[pubsub]'"
        ) from None
    emulator = os.environ.get(EMULATOR)
    if emulator:
        channel = aio.insecure_channel(emulator, options=[RECONNECT])
        return PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
    import google.auth

    # May ask the metadata server, and waits for it.
    credentials, _ = await asyncio.to_thread(google.auth.default, scopes=[SCOPE])
    return PublisherAsyncClient(credentials=credentials)


def _read(error: Exception) -> tuple[Answer | Broken, bytes]:
    from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError, ServiceUnavailable
    from google.auth.exceptions import GoogleAuthError

    said = " ".join(str(getattr(error, "message", None) or error).split())[:300]
    match error:
        case DeadlineExceeded():
            return Broken(Break.DEADLINE, said), b""
        case ServiceUnavailable():
            return Broken(Break.CONNECT, said), b""
        case GoogleAPICallError() if error.code is not None:
            return Answer(int(error.code), words=said.removesuffix(".")), said.encode()
        case GoogleAPICallError() | GoogleAuthError() | OSError():
            return Broken(Break.CONNECT, said), b""
        case ValueError() | TypeError():
            return Broken(Break.UNUSABLE, f"the message cannot be published: {said}"), b""
    log.error("a bug while publishing", exc_info=error)
    return Broken(Break.PROTOCOL, f"{type(error).__name__}: {said}"), b""
