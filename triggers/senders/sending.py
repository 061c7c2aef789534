"""All senders behind one: each delivery goes to the one of its target."""

from __future__ import annotations

from jobrunner.service.parts import Ground
from triggers.core.records import Delivery, HttpTarget, JobTarget
from triggers.core.runurls import Own, own_of, read_run_url
from triggers.core.verdict import Break, Broken
from triggers.ports import Sender, Sent
from triggers.senders.job import JobSender
from triggers.senders.keyring import Keyring
from triggers.senders.options import SenderOptions, TokenKind
from triggers.senders.pubsub import PubsubSender
from triggers.senders.tokens import LocalTokens


class Senders:
    """:class:`triggers.ports.Sender` for every kind of target. A URL that starts a job is not
    called; the job is started here."""

    def __init__(
        self, http: Sender, job: JobSender, own: Own | None, topic: Sender | None = None
    ) -> None:
        """Without ``topic`` nothing is published."""
        self._http = http
        self._topic = topic
        self._job = job
        self._own = own

    async def send(self, delivery: Delivery, number: int) -> Sent:
        target = delivery.target
        if isinstance(target, HttpTarget):
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


def make_senders(ground: Ground, options: SenderOptions) -> Sender:
    """For the loop that ``ground.parts`` live in. Imports aiohttp (0.1 s)."""
    from triggers.senders.http import Bearers, HttpSender

    clock = ground.parts.machine
    bearers: Bearers
    if options.tokens is TokenKind.GOOGLE:
        from triggers.senders.google import GoogleTokens

        bearers = GoogleTokens(clock)
    else:
        bearers = LocalTokens(Keyring(ground.home, clock), options.issuer or ground.url, clock)
    http = HttpSender(options, bearers, clock)
    return Senders(http, JobSender(ground.parts), own_of(ground.url), PubsubSender())
