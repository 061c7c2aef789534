"""``POST /events`` and ``POST /events/CHANNEL``: CloudEvents by HTTP, in every mode of the binding.

An answer of 2xx is sent when all of the request is durable: 202 if something will be done with it,
204 if no trigger wants it. Of a request that breaks a rule nothing is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobrunner.calls import Answer, Call, Method, Raw, Role
from jobrunner.ports import Clock, Commit
from triggers.api.events.log_entries import read_entries
from triggers.api.own import PLACE, Where
from triggers.core.cloudevents.decode import decode
from triggers.core.cloudevents.handshake import consent
from triggers.errors import InvalidEvent
from triggers.service.channel_names import ChannelNames
from triggers.service.crashpoints import crash_point
from triggers.service.events import Events, Published

PATH = "/events"
ONE = f"{PATH}/{{channel}}"


def ingress_methods(
    events: Events,
    channels: ChannelNames,
    where: Where,
    commit: Commit,
    clock: Clock,
    look: Callable[[], None],
) -> Sequence[Method]:
    """``look`` tells the dispatcher that there is something new."""
    table = _Ingress(events, channels, where, commit, clock, look)
    found = []
    for name, path in (("", PATH), (".channel", ONE)):
        take = Method(
            f"jobrunner.events.receive{name}", "POST", path, table.take, Role.INVOKER, raw=True,
            query=PLACE, summary="Takes CloudEvents: binary, structured or a batch",
        )  # fmt: skip
        ask = Method(
            f"jobrunner.events.consent{name}", "OPTIONS", path, table.ask, Role.VIEWER, raw=True,
            open=True, summary="Says whether a sender may send (WebHook-Request-Origin)",
        )  # fmt: skip
        found += [take, ask]
    return found


class _Ingress:
    def __init__(
        self,
        events: Events,
        channels: ChannelNames,
        where: Where,
        commit: Commit,
        clock: Clock,
        look: Callable[[], None],
    ) -> None:
        self._events = events
        self._channels = channels
        self._where = where
        self._commit = commit
        self._clock = clock
        self._look = look

    async def take(self, call: Call) -> Answer:
        raw = call.raw or Raw()
        try:
            headers = _headers(raw)
            entries = read_entries(headers, raw.body)
            found = decode(headers, raw.body) if entries is None else entries
        except InvalidEvent as error:
            if error.status == 400:
                raise
            return refusal(error)
        scope = self._where.scope(call.params)
        channel = self._channels.addressed(scope, call.params.get("channel", ""))
        now = self._clock.now()

        def work() -> Published:
            published = self._events.publish(
                found, scope=scope, channel=channel, now=now, bounded=True
            )
            crash_point("event-in-turn")
            return published

        published = await self._commit(work)
        crash_point("event-kept")
        if published.opened:
            self._look()
        wanted = any(entry.led for entry in published.entries)
        return Answer(status=202 if wanted else 204)

    async def ask(self, call: Call) -> Answer:
        """The status says nothing; whether the sender may send, headers say."""
        return Answer(headers=consent(_headers(call.raw or Raw())) or (("Allow", "POST"),))


def _headers(raw: Raw) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw.headers]


def refusal(error: InvalidEvent) -> Answer:
    """In Google's envelope, with the status that the error names."""
    violations = [{"field": one.field, "description": one.message} for one in error.violations]
    return Answer(
        {
            "error": {
                "code": error.status,
                "message": error.message,
                "status": "INVALID_ARGUMENT",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.BadRequest",
                        "fieldViolations": violations,
                    }
                ],
            }
        },
        status=error.status,
    )
