"""One method per operation: decode, check the protocol, call, encode; errors travel whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jobrunner import __version__
from jobrunner.api.audit import named
from jobrunner.api.errors import envelope, status_of
from jobrunner.api.roles import check_overrides
from jobrunner.calls import Answer, Call, Handler, Method, Role
from jobrunner.core.records import Execution
from jobrunner.errors import JobrunnerError, RunnerFault, UsageError
from jobrunner.service.calls import OPERATIONS, PATH, PROTOCOL, About, Desk, News, Operation
from jobrunner.service.codec import encode_answer, fault_of, read_call
from jobrunner.service.parts import Parts

ABOUT = {
    "create_job": ("jobs", "name"),
    "replace_job": ("jobs", "name"),
    "apply_job": ("jobs", "name"),
    "delete_job": ("jobs", "name"),
    "run": ("jobs", "job_name"),
    "rerun": ("executions", "name"),
    "cancel": ("executions", "name"),
    "delete_execution": ("executions", "name"),
}
"""What operations that change something are about: the collection, and the argument that names it.
"""

OPENING = ("run", "rerun")
"""Operations that open an execution."""

LONGEST_WAIT = 25.0
"""Seconds that one call of ``settled`` waits at most; the client asks again."""

SUMMARY = "For the command line of the same version; not a public API."


def methods(parts: Parts) -> Sequence[Method]:
    """The table. The error of a call is in Google's envelope, with the whole of it beside."""
    table = [
        Method(
            name=f"jobrunner.{operation.name}",
            verb="POST",
            path=PATH + operation.name,
            handler=_answering(_handler(parts, operation)),
            role=operation.role,
            changes=operation.changes,
            summary=SUMMARY,
            about=_about(operation.name),
        )
        for operation in OPERATIONS.values()
    ]

    async def about(call: Call) -> Answer:
        # Whoever asks this asks because the protocols may differ.
        return Answer(encode_answer(About(__version__, PROTOCOL, parts.runner.accepts())))

    path = f"{PATH}about"
    return [*table, Method("jobrunner.about", "POST", path, about, Role.VIEWER, summary=SUMMARY)]


def _handler(parts: Parts, operation: Operation) -> Handler:
    async def handle(call: Call) -> Answer:
        arguments = read_call(operation.does, arguments_in(call.body))
        if operation.name == "settled":
            within = min(max(arguments["within"], 0.0), LONGEST_WAIT)
            return Answer(
                encode_answer(await parts.runner.settled(arguments["uid"], within=within))
            )
        if operation.name == "run":
            changed = arguments["overrides"] or arguments["backend"]
            check_overrides(call, changed, arguments["scope"], arguments["job_name"])
        service = parts.service
        desk = Desk(service.acting(call.principal.name) if operation.changes else service)
        if operation.name == "news":
            return Answer(encode_answer(_with_trouble(parts, desk, arguments)))
        if not operation.grouped:
            return Answer(encode_answer(operation.does(desk, **arguments)))
        answer = await parts.commit(lambda: operation.does(desk, **arguments))
        if operation.starts:
            parts.runner.look()
        note = answer.name if operation.name in OPENING and isinstance(answer, Execution) else ""
        return Answer(encode_answer(answer), note=note)

    return handle


def _about(operation: str) -> Callable[[Call], str] | None:
    """The resource of an operation that names one, as a path of version 2."""
    if operation not in ABOUT:
        return None
    collection, field = ABOUT[operation]

    def about(call: Call) -> str:
        arguments = call.body["arguments"]
        project, region = arguments["scope"]
        place = f"/projects/{named(project)}/locations/{named(region)}"
        return f"{place}/{collection}/{named(arguments[field])}"

    def told(call: Call) -> str:
        try:
            return about(call)
        except (TypeError, KeyError, ValueError):
            return ""

    return told


def _with_trouble(parts: Parts, desk: Desk, arguments: dict[str, Any]) -> News | None:
    """News of an execution; that it cannot be driven now is news too."""
    news = desk.news(**arguments)
    why = parts.runner.trouble(arguments["uid"])
    if why is None:
        return news
    return replace(news or News(desk.get_execution_by_uid(arguments["uid"])), trouble=why)


def arguments_in(body: object) -> Mapping[str, Any]:
    """What was sent. Raises RunnerFault where the two sides speak differently."""
    if not isinstance(body, Mapping) or not isinstance(body.get("arguments"), Mapping):
        raise UsageError("The body is an object with protocol and arguments.")
    spoken = body.get("protocol")
    if spoken != PROTOCOL:
        raise RunnerFault(
            f"The server (jobrunner {__version__}) speaks protocol {PROTOCOL} with its command "
            f"line, and this command line speaks {spoken}.",
            hint="Use the same version of jobrunner on both sides; a server takes up a new one "
            "when it is started again.",
        )
    arguments: Mapping[str, Any] = body["arguments"]
    return arguments


def _answering(handler: Handler) -> Handler:
    async def handle(call: Call) -> Answer:
        try:
            return await handler(call)
        except JobrunnerError as error:
            body = {**envelope(error), "fault": fault_of(error)}
            return Answer(body, status=status_of(error).http)

    return handle
