"""Topics, push subscriptions and messages of the emulator, by Google's client library."""

from __future__ import annotations

from typing import Any

from tests.support.pubsub import PROJECT, PubsubEmulator


class Topics:
    """One client of each kind, for one emulator. Use as a context manager."""

    def __init__(self, emulator: PubsubEmulator) -> None:
        from google.pubsub_v1.services.publisher import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
        from google.pubsub_v1.services.subscriber import SubscriberClient
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
        from grpc import insecure_channel

        options = [("grpc.max_reconnect_backoff_ms", 500)]
        self._channels = [insecure_channel(emulator.host, options=options) for _ in range(2)]
        self._publisher = PublisherClient(
            transport=PublisherGrpcTransport(channel=self._channels[0])
        )
        self._subscriber = SubscriberClient(
            transport=SubscriberGrpcTransport(channel=self._channels[1])
        )

    def __enter__(self) -> Topics:
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels:
            channel.close()

    def create(self, topic: str) -> None:
        self._publisher.create_topic(name=topic_path(topic), timeout=30)

    def push(self, topic: str, name: str, endpoint: str, **config: Any) -> None:
        request = {
            "name": f"projects/{PROJECT}/subscriptions/{name}",
            "topic": topic_path(topic),
            "push_config": {"push_endpoint": endpoint, **config},
        }
        self._subscriber.create_subscription(request=request, retry=None, timeout=30)

    def publish(self, topic: str, *messages: dict[str, Any]) -> list[str]:
        """The ids."""
        request = {"topic": topic_path(topic), "messages": list(messages)}
        answer = self._publisher.publish(request=request, retry=None, timeout=30)
        return list(answer.message_ids)


def topic_path(name: str) -> str:
    return f"projects/{PROJECT}/topics/{name}"
