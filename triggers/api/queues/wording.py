"""Errors of queues in our own words: Google's name neither the queue nor the item."""

from __future__ import annotations

from jobrunner.calls import Answer, Call, Handler
from jobrunner.errors import AlreadyExists, NotFound
from triggers.api.own import Where
from triggers.core.queues import NAME_WINDOW
from triggers.service import queues

_QUEUE = "queue '{queue}' in {region} of project {project}"
_ITEM = "Item '{item}' of queue '{queue}'"
_FREE = f"allowed: a name that no item had in the last {NAME_WINDOW / 3600:g} hours, or none"
_WORDS = {
    queues.NO_QUEUE: f"There is no {_QUEUE}.",
    queues.QUEUE_EXISTS: "Queue '{queue}' already exists in {region} of project {project}.",
    queues.GONE: f"{_ITEM} no longer exists: it was done, given up or deleted not long ago.",
    queues.TASK_EXISTS: f"name: {_ITEM} already exists; {_FREE}",
    queues.TOO_RECENTLY: f"name: {_ITEM} existed too recently; {_FREE}",
}


def in_our_words(where: Where, handler: Handler) -> Handler:
    """``handler`` with errors that say which queue or item they are about."""

    async def handle(call: Call) -> Answer:
        try:
            return await handler(call)
        except (NotFound, AlreadyExists) as error:
            words = _said(where, call, error.message)
            if words is None:
                raise
            raise type(error)(words, hint=error.hint) from None

    return handle


def _said(where: Where, call: Call, message: str) -> str | None:
    body = call.body if isinstance(call.body, dict) else {}
    name = str(body.get("name", ""))
    queue, item = call.params.get("queue", name), call.params.get("item", name)
    if message == queues.NOT_FOUND:
        form = f"There is no item '{{item}}' in {_QUEUE}." if item else _WORDS[queues.NO_QUEUE]
    elif message in _WORDS:
        form = _WORDS[message]
    else:
        return None
    making = "queue" not in call.params
    scope = where.of_body(call, body) if making else where.scope(call.params)
    return form.format(queue=queue, item=item, region=scope.region, project=scope.project)
