"""``/jobrunner/v1/deliveries``: see and look after deliveries. An API of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from jobrunner.calls import Answer, Call, Handler, Method, Role
from jobrunner.errors import UsageError
from jobrunner.ports import Commit
from jobrunner.service import Service
from triggers.api.own import check_job
from triggers.service.deliveries import Deliveries

PATH = "/jobrunner/v1/deliveries"

Document = dict[str, Any]


class Reader(Protocol):
    """Calls a read that may take long, and lets others work meanwhile."""

    async def __call__(self, work: Callable[[Deliveries], Document]) -> Document: ...


def delivery_methods(
    deliveries: Deliveries,
    service: Service,
    commit: Commit,
    look: Callable[[], None],
    reader: Reader,
) -> Sequence[Method]:
    """``look`` tells the dispatcher that there is something new."""

    def searching(does: Callable[[Deliveries, Call], Document]) -> Handler:
        async def handle(call: Call) -> Answer:
            return Answer(await reader(lambda deliveries: does(deliveries, call)))

        return handle

    def reading(does: Callable[[Call], Document]) -> Handler:
        async def handle(call: Call) -> Answer:
            return Answer(does(call))

        return handle

    def writing(does: Callable[[Call], Document]) -> Handler:
        async def handle(call: Call) -> Answer:
            answer = await commit(lambda: does(call))
            look()
            return Answer(answer)

        return handle

    def method(
        name: str, verb: str, path: str, handler: Handler, role: Role, summary: str
    ) -> Method:
        changes = role is not Role.VIEWER
        full = f"jobrunner.deliveries.{name}"
        return Method(full, verb, path, handler, role, changes=changes, summary=summary)

    one = f"{PATH}/{{delivery}}"
    return [
        method(
            "list",
            "GET",
            PATH,
            searching(lambda deliveries, call: deliveries.listing(call.params)),
            Role.VIEWER,
            "A page of deliveries, newest first.",
        ),
        method(
            "count",
            "GET",
            f"{PATH}:count",
            searching(lambda deliveries, call: deliveries.count(call.params)),
            Role.VIEWER,
            "How many deliveries there are in each state.",
        ),
        method(
            "get",
            "GET",
            one,
            reading(lambda call: deliveries.describe(call.params["delivery"])),
            Role.VIEWER,
            "A delivery with its attempts.",
        ),
        method(
            "send",
            "POST",
            PATH,
            writing(lambda call: deliveries.send(_body(call), partial(check_job, service))),
            Role.ADMIN,
            "Open a delivery by hand.",
        ),
        method(
            "cancel",
            "POST",
            f"{one}:cancel",
            writing(lambda call: deliveries.withdraw(call.params["delivery"], call.principal.name)),
            Role.ADMIN,
            "Withdraw a delivery that has not settled.",
        ),
        method(
            "replay",
            "POST",
            f"{PATH}:replay",
            writing(lambda call: deliveries.replay(_body(call))),
            Role.ADMIN,
            "Send dead letters again, each once.",
        ),
        method(
            "purge",
            "POST",
            f"{PATH}:purge",
            writing(lambda call: deliveries.purge(_body(call))),
            Role.ADMIN,
            "Remove what has settled.",
        ),
    ]


def _body(call: Call) -> Mapping[str, Any]:
    if call.body is None:
        return {}
    if not isinstance(call.body, Mapping):
        raise UsageError("The body is not a JSON object.")
    return call.body
