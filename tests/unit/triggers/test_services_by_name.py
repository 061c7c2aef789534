"""Services that go by a name are looked up at each attempt."""

from dataclasses import replace

from jobrunner.core.records import Scope
from jobrunner.errors import StoreFault
from tests.support.deliveries import a_delivery
from triggers.core.records import Delivery, HttpTarget, SourceKind
from triggers.core.service_urls import pending_url
from triggers.core.verdict import Answer, Break, Broken
from triggers.ports import Sent
from triggers.senders.sending import Senders

HERE = Scope("local", "us-central1")


class Called:
    """A sender that notes where it was sent."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def send(self, delivery: Delivery, number: int) -> Sent:
        assert isinstance(delivery.target, HttpTarget)
        self.urls.append(delivery.target.url)
        return Sent(Answer(200))

    async def close(self) -> None: ...


def for_service(path: str = "/e?x=1") -> Delivery:
    url = pending_url(HERE, "shop", path)
    return a_delivery(target=HttpTarget(url), source=SourceKind.EVENT_TRIGGER)


async def test_the_url_of_the_moment_is_called() -> None:
    called, book = Called(), {"shop": "http://one:1/base"}
    senders = Senders(called, None, None, resolve=lambda scope, name: book.get(name))  # type: ignore[arg-type]
    await senders.send(for_service(), 1)
    book["shop"] = "http://two:2/"
    await senders.send(for_service(), 2)
    assert called.urls == ["http://one:1/base/e?x=1", "http://two:2/e?x=1"]


async def test_a_name_without_a_url_is_tried_again_and_says_what_to_do() -> None:
    called = Called()
    senders = Senders(called, None, None)  # type: ignore[arg-type]
    sent = await senders.send(for_service(), 1)
    assert isinstance(sent.outcome, Broken)
    assert sent.outcome.why is Break.CONNECT
    assert "jobrunner services set shop URL" in sent.outcome.message
    assert called.urls == []


async def test_a_book_that_cannot_be_read_is_tried_again() -> None:
    def resolve(scope: Scope, name: str) -> str | None:
        raise StoreFault("the disk is away")

    sent = await Senders(Called(), None, None, resolve=resolve).send(for_service(), 1)  # type: ignore[arg-type]
    assert isinstance(sent.outcome, Broken)
    assert sent.outcome.why is Break.CONNECT


async def test_other_urls_are_left_alone() -> None:
    called = Called()
    senders = Senders(called, None, None)  # type: ignore[arg-type]
    await senders.send(replace(for_service(), target=HttpTarget("http://x/")), 1)
    assert called.urls == ["http://x/"]
