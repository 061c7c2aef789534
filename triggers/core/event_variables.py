"""An event as a job receives it: variables of the environment, filled templates, a file."""

from __future__ import annotations

from dataclasses import replace

from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from triggers.core.cloudevents.attributes import text_of
from triggers.core.cloudevents.encode import STRUCTURED_TYPE, encode_structured
from triggers.core.events import CloudEvent
from triggers.core.records import Payload
from triggers.core.templates import Context, parse_template, render

FILE_VARIABLE = "CLOUDEVENT_FILE"
"""The path of a file with the event in JSON; set by whoever starts the job, who knows it."""
MAX_VARIABLE = 32 * 1024
"""Bytes; a longer value is in the file only, because no process takes much longer ones."""


def as_file(event: CloudEvent) -> Payload:
    """What a delivery to a job carries; whoever starts the job writes it down."""
    return Payload(encode_structured(event), (("content-type", STRUCTURED_TYPE),))


def event_variables(event: CloudEvent) -> tuple[EnvVar, ...]:
    """``CE_TYPE``, ``CE_ID``, … and one for each extension. A value that is too long for the
    environment of a process is left out."""
    found = []
    for name, value in event.attributes():
        text = text_of(value)
        if len(text.encode("utf-8", "surrogatepass")) <= MAX_VARIABLE:
            found.append(EnvVar(f"CE_{name.upper()}", text))
    return tuple(found)


def with_event(overrides: Overrides, event: CloudEvent) -> Overrides:
    """``overrides`` and the variables of an event, in each container that they name, or in the one
    that there is. A variable that they set themselves stays."""
    containers = overrides.containers or (ContainerOverride(),)
    variables = event_variables(event)
    changed = []
    for container in containers:
        own = {variable.name for variable in container.env}
        added = tuple(variable for variable in variables if variable.name not in own)
        changed.append(replace(container, env=(*added, *container.env)))
    return replace(overrides, containers=tuple(changed))


def rendered(overrides: Overrides, context: Context) -> Overrides:
    """With their templates filled in. Raises InvalidSpec."""
    containers = []
    for container in overrides.containers:
        args = tuple(
            render(parse_template(text, f"args[{place}]"), context, f"args[{place}]")
            for place, text in enumerate(container.args)
        )
        env = tuple(
            variable
            if variable.value is None
            else replace(variable, value=_filled(variable.value, context, variable.name))
            for variable in container.env
        )
        containers.append(replace(container, args=args, env=env))
    return replace(overrides, containers=tuple(containers))


def _filled(text: str, context: Context, name: str) -> str:
    return render(parse_template(text, f"env[{name}]"), context, f"env[{name}]")
