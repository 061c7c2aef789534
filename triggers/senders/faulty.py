"""A sender that things befall on the way, as often as faults say."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from jobrunner.core.faults import Faults
from jobrunner.core.news import News, Tone
from jobrunner.ports import Clock
from triggers.core.records import Delivery
from triggers.core.verdict import Answer, Break, Broken
from triggers.ports import Sender, Sent, place_of

HELD_SECONDS = 0.3
"""How long one waits for another to overtake it."""
REMEMBERED = 100_000


class FaultySender:
    """:class:`triggers.ports.Sender`. A delivery is told apart by its source and how many of that
    came before, so that the same run of things meets the same faults."""

    def __init__(
        self,
        inner: Sender,
        faults: Faults,
        clock: Clock,
        tell: Callable[[News], None],
        *,
        held: float = HELD_SECONDS,
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._clock = clock
        self._tell = tell
        self._held = held
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._counts: dict[tuple[str, str], int] = {}
        self._passed: dict[str, asyncio.Event] = {}

    async def send(self, delivery: Delivery, number: int) -> Sent:
        faults, place = self._faults, place_of(delivery.target)
        to = (delivery.source, delivery.source_name, self._number(delivery), number)

        def befalls(fault: str, word: str = "") -> bool:
            if not faults.happens(fault, *to):
                return False
            self._tell(self._news(delivery, word or fault, number))
            return True

        if befalls("delay"):
            await asyncio.sleep(faults.delay_seconds)
        if befalls("reorder"):
            await self._overtaken(place)
        if befalls("drop"):
            return Sent(Broken(Break.RESET, "the request was dropped on purpose"))
        if befalls("error", "5xx"):
            return Sent(Answer(faults.status), b"answered on purpose")
        try:
            sent = await self._inner.send(delivery, number)
            if befalls("duplicate"):
                sent = await self._inner.send(delivery, number)
            return sent
        finally:
            passed = self._passed.pop(place, None)
            if passed is not None:
                passed.set()

    async def close(self) -> None:
        await self._inner.close()

    async def _overtaken(self, place: str) -> None:
        """Until another one to that place is through, or nobody comes."""
        passed = self._passed.setdefault(place, asyncio.Event())
        try:
            async with asyncio.timeout(self._held):
                await passed.wait()
        except TimeoutError:
            return

    def _number(self, delivery: Delivery) -> int:
        known = self._numbers.get(delivery.uid)
        if known is None:
            source = (delivery.source.value, delivery.source_name)
            known = self._counts[source] = self._counts.get(source, 0) + 1
            self._numbers[delivery.uid] = known
            if len(self._numbers) > REMEMBERED:
                self._numbers.popitem(last=False)
        return known

    def _news(self, delivery: Delivery, fault: str, number: int) -> News:
        name = f"{delivery.source.value} {delivery.source_name}"
        detail = f"→ {place_of(delivery.target)}  attempt {number}"
        fields = {"fault": fault, "delivery": delivery.uid, "number": number}
        return News(self._clock.now(), "fault", name, fault, detail, Tone.BUSY, fields)
