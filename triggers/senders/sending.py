"""All senders behind one: each delivery goes to the one of its target."""

from __future__ import annotations

from dataclasses import replace

from jobrunner.core.news import News
from jobrunner.core.records import Scope
from jobrunner.errors import JobrunnerError
from jobrunner.service.parts import Ground
from triggers.core.records import Delivery, HttpTarget, JobTarget
from triggers.core.runurls import Own, own_of, read_run_url
from triggers.core.service_urls import Resolve, read_pending_url, resolved_url
from triggers.core.verdict import Break, Broken
from triggers.ports import Sender, Sent
from triggers.senders.job import JobSender
from triggers.senders.keyring import Keyring
from triggers.senders.options import SenderOptions, TokenKind
from triggers.senders.pubsub import PubsubSender
from triggers.senders.tokens import LocalTokens

PENDING = ".service.invalid"


def unknown(scope: Scope, name: str) -> str | None:
    """No service has a URL."""
    return None


class Senders:
    """:class:`triggers.ports.Sender` for every kind of target. A URL that starts a job is not
    called; the job is started here."""

    def __init__(
        self,
        http: Sender,
        job: JobSender,
        own: Own | None,
        topic: Sender | None = None,
        resolve: Resolve = unknown,
    ) -> None:
        """Without ``topic`` nothing is published. ``resolve`` is asked at each attempt for the
        services that go by a name."""
        self._http = http
        self._topic = topic
        self._job = job
        self._own = own
        self._resolve = resolve

    async def send(self, delivery: Delivery, number: int) -> Sent:
        target = delivery.target
        if isinstance(target, HttpTarget):
            if PENDING in target.url:
                try:
                    url_now = resolved_url(target.url, self._resolve)
                except JobrunnerError as error:
                    return Sent(Broken(Break.CONNECT, error.message))
                if url_now is None:
                    return Sent(Broken(Break.CONNECT, _unknown(target.url)))
                target = replace(target, url=url_now)
                delivery = replace(delivery, target=target)
            # Nearly no URL is one of those, and all of those end alike.
            if "run" in target.url:
                url = read_run_url(target.url, self._own)
                if url is not None:
                    return await self._job.run_url(delivery, target, url)
            return await self._http.send(delivery, number)
        if isinstance(target, JobTarget):
            return await self._job.send(delivery, number)
        if self._topic is not None:
            return await self._topic.send(delivery, number)
        return Sent(Broken(Break.UNUSABLE, "nothing here publishes to a topic"))

    async def close(self) -> None:
        await self._http.close()
        await self._job.close()
        if self._topic is not None:
            await self._topic.close()


def _unknown(url: str) -> str:
    found = read_pending_url(url)
    if found is None:
        return f"{url[:200]} stands for no service"
    scope, name, _ = found
    return (
        f"the service '{name}' has no URL in {scope.region} of project {scope.project}; set it"
        f" with: jobrunner services set {name} URL"
    )


def make_senders(ground: Ground, options: SenderOptions, resolve: Resolve = unknown) -> Sender:
    """For the loop that ``ground.parts`` live in."""
    from triggers.senders.http import Bearers, HttpSender

    clock = ground.parts.machine
    bearers: Bearers
    if options.tokens is TokenKind.GOOGLE:
        from triggers.senders.google import GoogleTokens

        bearers = GoogleTokens(clock)
    else:
        bearers = LocalTokens(Keyring(ground.home, clock), options.issuer or ground.url, clock)
    http = HttpSender(options, bearers, clock)
    job, own = JobSender(ground.parts), own_of(ground.url)
    senders = Senders(http, job, own, PubsubSender(), resolve)
    faults = ground.faults
    if faults is None or not faults.of_deliveries:
        return senders
    from triggers.senders.faulty import FaultySender

    return FaultySender(senders, faults, ground.parts.clock, ground.tell or _unheard)


def _unheard(news: News) -> None:
    """Nobody watches."""
